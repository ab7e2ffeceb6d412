"""Step 2, the forgery of 2023: an expired consumer key signs an enterprise token.

Ordinary relying parties accept it; the standard validator does not, across realms or within the key's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt

from sealwright.demo.ordinary import OrdinaryGuard, UnionOfKeys
from sealwright.drills.forger import StolenKey, claims_of, forged_claims, stolen_keys
from sealwright.drills.model import Control, Finding
from sealwright.drills.peers import PEERS, accepts
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import ACCEPTED, active_key, judged, rotate, validator, verdict, without_step
from sealwright.keys.rules import HANDOVER

STEP = "2-forge"
REFUSED = "refused"


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Let the stolen key expire, then forge with it."""
    stolen = stolen_keys(sandbox.leak)[active_key(sandbox, "consumer").kid]
    union = _union_of_both_realms(sandbox)
    twin = _ordinary_twin(sandbox)
    consumer, enterprise = sandbox.token("consumer"), sandbox.token("enterprise")
    rotate(sandbox)
    sandbox.clock.advance(2 * HANDOVER)
    yield from _ordinary(sandbox, stolen, union, twin, enterprise)
    with validator(sandbox) as checker:
        token = stolen.forge(forged_claims(claims_of(enterprise), sandbox.clock.now()) | _place(consumer))
        with without_step(sandbox, Control.REALM_BINDING, "require_key_of_realm"):
            observed = verdict(checker, token, "enterprise", sandbox.audience("enterprise"))
        attack = "the same with sealwright_validate: an expired consumer key signs an enterprise token"
        yield judged(f"{STEP}-across-realms", attack, Control.REALM_BINDING, "key_of_other_realm", observed)
        token = stolen.forge(forged_claims(claims_of(consumer), sandbox.clock.now()))
        with without_step(sandbox, Control.KEY_WINDOW, "require_key_window"):
            observed = verdict(checker, token, "consumer", sandbox.audience("consumer"))
        attack = "an expired consumer key signs a fresh consumer token"
        yield judged(f"{STEP}-after-window", attack, Control.KEY_WINDOW, "key_outside_window", observed)


def _ordinary(
    sandbox: Sandbox, stolen: StolenKey, union: dict[str, Any], twin: OrdinaryGuard, enterprise: str
) -> Iterator[Finding]:
    # Peers read the host's clock, which stands still while the sandbox's hours pass.
    token = stolen.forge(forged_claims(claims_of(enterprise), time.time() - 1))  # noqa: TID251
    issuer, audience = sandbox.config.issuer("enterprise"), sandbox.audience("enterprise")
    observed = ACCEPTED if _lets_in(twin, token) else REFUSED
    attack = "the demo's ordinary twin: an expired consumer key signs an enterprise token"
    yield judged(f"{STEP}-twin", attack, None, ACCEPTED, observed)
    for name, verify in PEERS.items():
        observed = ACCEPTED if accepts(verify, token, union, issuer, audience) else REFUSED
        attack = f"{name} as documented, issuer and audience checked, both realms' keys: the same token"
        yield judged(f"{STEP}-{name.lower()}", attack, None, ACCEPTED, observed)


def _ordinary_twin(sandbox: Sandbox) -> OrdinaryGuard:
    """The guard of the demo's ordinary mail API, with the keys that it fetches while the stolen one is
    published.
    """
    urls = [f"{sandbox.config.issuer(realm)}/jwks.json" for realm in sandbox.config.realms]
    keys = UnionOfKeys(urls)
    keys.refresh()
    issuer, audience = sandbox.config.issuer("enterprise"), sandbox.audience("enterprise")
    return OrdinaryGuard(_nothing_behind_it, keys, ["ES256"], issuer, audience)


async def _nothing_behind_it(_scope: Any, _receive: Any, _send: Any) -> None:
    """The drill asks the guard itself."""


def _lets_in(twin: OrdinaryGuard, token: str) -> bool:
    try:
        twin.claims(f"Bearer {token}")
    except jwt.PyJWTError:
        return False
    return True


def _union_of_both_realms(sandbox: Sandbox) -> dict[str, Any]:
    keys = [
        key for realm in sandbox.config.realms for key in sandbox.call(f"/{realm}/jwks.json").body["keys"]
    ]
    return {"keys": keys}


def _place(token: str) -> dict[str, Any]:
    """The attacker claims a place in the log of the key that it holds."""
    return {"jti": forged_claims(claims_of(token), 0)["jti"]}
