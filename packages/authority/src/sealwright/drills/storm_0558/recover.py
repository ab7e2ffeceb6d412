"""Step 8, recovery: a new key signs, clients get tokens again, and the stolen key stays dead."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sealwright.drills.forger import claims_of, forged_claims, stolen_keys
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import ACCEPTED, judged, validator, verdict, wait_for
from sealwright.errors import Unavailable
from sealwright.keys.model import KeyState

STEP = "8-recover"
PATIENCE = 20.0
"""Seconds in which a new key must sign."""


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Ask for a token, have it validated, and try the stolen key once more."""
    began = time.monotonic()
    attack = "after the revocation: a client asks for a token, and a relying party validates it"
    try:
        token = wait_for(lambda: _token(sandbox), "a token after the revocation", PATIENCE)
    except Unavailable:
        observed = f"no token within {PATIENCE:.0f} s"
        yield judged(f"{STEP}-tokens", attack, Control.REPLACEMENT_KEY, ACCEPTED, observed)
        return
    with validator(sandbox) as checker:
        audience = sandbox.audience("enterprise")
        observed = verdict(checker, token, "enterprise", audience)
        took = time.monotonic() - began
        shown = f"{observed} after {took:.2f} s" if observed == ACCEPTED else observed
        yield Finding(
            f"{STEP}-tokens",
            attack,
            Control.REPLACEMENT_KEY,
            ACCEPTED,
            shown,
            held=observed == ACCEPTED,
        )
        kid = next(key.kid for key in sandbox.stores.keys.all() if key.state is KeyState.REVOKED)
        forged = stolen_keys(sandbox.leak)[kid].forge(forged_claims(claims_of(token), sandbox.clock.now()))
        observed = verdict(checker, forged, "enterprise", audience)
        attack = "forge with the stolen key once more"
        yield judged(f"{STEP}-stolen-key", attack, None, "key_revoked", observed)


def _token(sandbox: Sandbox) -> str | None:
    try:
        return sandbox.token("enterprise")
    except Unavailable:
        return None
