"""The attack of 2023, step by step: theft, forgery across realms, forgery with a live key, renewal, and its
end.
"""

from __future__ import annotations

from sealwright.drills.storm_0558 import (
    compromised_front_end,
    forge_across_realms,
    forge_with_active_key,
    renew_token,
    revoke_key,
    rewrite_ledger,
    steal_dead_key,
)

SHOWS = "a stolen, expired consumer key forges enterprise tokens; every control that stops it gets a verdict"
STEPS = (
    steal_dead_key.run,
    forge_across_realms.run,
    forge_with_active_key.run,
    renew_token.run,
    revoke_key.run,
    compromised_front_end.run,
    rewrite_ledger.run,
)
"""In order; each builds on the state that the one before leaves."""
