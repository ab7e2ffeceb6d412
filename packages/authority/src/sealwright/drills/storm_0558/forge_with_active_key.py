"""Step 3, the worst case: the attacker holds a key that signs right now and forges within its realm.

Every signature check passes. Only the ledger knows that the token was never issued.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from sealwright.drills.forger import claims_of, forged_claims, stolen_keys
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import ACCEPTED, active_key, alarm_about, judged, validator, verdict, wait_for
from sealwright.errors import Unavailable

STEP = "3-detect"
PATIENCE = 10.0
"""Seconds to wait for an alarm; the promise of one second (p99) is measured in `bench/`."""


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Present the forged token to a strict and to an ordinary relying party."""
    stolen = stolen_keys(sandbox.leak)[active_key(sandbox, "enterprise").kid]
    genuine = sandbox.token("enterprise")
    audience = sandbox.audience("enterprise")
    claims = forged_claims(claims_of(genuine), sandbox.clock.now())
    mode = "async" if Control.STRICT_MODE in sandbox.flaws else "strict"
    with validator(sandbox, mode=mode) as checker:
        observed = verdict(checker, stolen.forge(claims), "enterprise", audience)
    attack = "forge an enterprise token with its active key; the relying party is strict"
    yield judged(f"{STEP}-strict", attack, Control.STRICT_MODE, "never_issued", observed)
    token = stolen.forge(claims | {"sub": "ambassador"})
    with validator(sandbox, report=True) as checker:
        began = time.monotonic()
        observed = verdict(checker, token, "enterprise", audience)
        attack = "the same; the relying party accepts at once and reports what it saw"
        yield judged(f"{STEP}-async-accepts", attack, None, ACCEPTED, observed)
        observed = _alarm(sandbox, hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest(), began)
    held = observed.startswith("never_issued")
    attack = "the forged token that was accepted is compared with the ledger"
    expected = "never_issued alarm"
    yield Finding(f"{STEP}-alarm", attack, Control.LEDGER_COMPARISON, expected, observed, held=held)


def _alarm(sandbox: Sandbox, digest: str, began: float) -> str:
    try:
        stored = wait_for(lambda: alarm_about(sandbox, digest), "an alarm", PATIENCE)
    except Unavailable:
        return f"no alarm within {PATIENCE:.0f} s"
    return f"{stored.alarm.code} alarm after {time.monotonic() - began:.2f} s"
