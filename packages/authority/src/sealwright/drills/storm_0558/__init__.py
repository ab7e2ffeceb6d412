"""The attack of 2023, step by step, to the end: theft, forgery, detection, scope, revocation, notices,
recovery.
"""

from __future__ import annotations

from sealwright.drills.model import Control, Drill
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.storm_0558 import (
    compromised_front_end,
    forge_across_realms,
    forge_with_active_key,
    notify_tenants,
    recover,
    renew_token,
    revoke_key,
    rewrite_ledger,
    scope_damage,
    steal_dead_key,
)

SHOWS = "a stolen, expired consumer key forges enterprise tokens; every control that stops it gets a verdict"
STEPS = (
    steal_dead_key.run,
    forge_across_realms.run,
    forge_with_active_key.run,
    renew_token.run,
    scope_damage.run,
    revoke_key.run,
    notify_tenants.run,
    recover.run,
    compromised_front_end.run,
    rewrite_ledger.run,
)
"""In order; each builds on the state that the one before leaves."""

TITLES = {
    "1": "theft: the key that stopped signing",
    "2": "forgery: an expired consumer key, an enterprise token",
    "3": "detection: a key that signs right now",
    "4": "renewal: a token for a token",
    "5": "scope: who was touched, who could have been",
    "6": "response: revoke, everywhere",
    "7": "notices: each tenant its own part",
    "8": "recovery: a new key, and the old one stays dead",
    "9": "the attacker inside the front end",
    "10": "the cover-up",
}
DRILL = Drill(
    name="storm-0558",
    shows=SHOWS,
    steps=STEPS,
    controls=tuple(Control),
    titles=TITLES,
    scene="starting a sandbox: a signer that leaks its keys, an authority, a clock to move",
    place=Sandbox,
)
