"""Step 5: a key in the published set, or in a validator's cache, that the ledger never saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec

from sealwright.detection import keywatch
from sealwright.detection.model import Report, ValidatorFacts
from sealwright.drills.forger import thumbprint
from sealwright.drills.model import Finding
from sealwright.drills.stale_trust.yard import Control, Yard, alarm, without
from sealwright.keys.model import KeyState
from sealwright_signer import jws

STEP = "5-unknown"


def run(yard: Yard) -> Iterator[Finding]:
    """The attacker writes a key of their own into the database, then into a validator."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    mine = thumbprint(public)
    genuine = yard.active("enterprise")
    with without(yard, Control.CACHE_WATCH, keywatch, _validator=lambda *_given: iter(())):
        facts = ValidatorFacts(name="mail-api", instance="one", keys=(genuine.kid, mine))
        yard.world.stores.observations.add(yard.now, [("mail-api", Report(validator=facts))])
        attack = "put a key of one's own into a validator's cache"
        code = keywatch.KeyAlarm.CACHED_KEY_UNKNOWN
        yield alarm(yard, f"{STEP}-cached", attack, Control.CACHE_WATCH, code)
    rogue = replace(
        genuine,
        kid=mine,
        jwk=genuine.jwk | jws.public_jwk(public) | {"kid": mine},
        state=KeyState.VERIFY_ONLY,
    )
    yard.world.stores.keys.add(rogue)
    with without(yard, Control.LEDGER_WATCH, keywatch, _unledgered=lambda *_given: iter(())):
        attack = "write a key of one's own into the table that the JWKS is made of"
        code = keywatch.KeyAlarm.KEY_UNLEDGERED
        yield alarm(yard, f"{STEP}-published", attack, Control.LEDGER_WATCH, code)
    yard.world.stores.keys.settle(mine, KeyState.RETIRED, int(yard.now))
