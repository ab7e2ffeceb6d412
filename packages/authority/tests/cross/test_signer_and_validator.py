"""Everything that the signer makes the validator accepts; every single mutation it refuses.

Two packages that share no code, held against each other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authority_support.chain import START, Chain
from sealwright_validate import Expect, Reason, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.trust import FedTrust

ALGORITHMS = ["ES256", "EdDSA", "RS256", "PS256"]
EXPECT = Expect(audience="https://mail.enterprise.example", realm="enterprise")
TEXT = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())
B64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class World:
    def __init__(self, algorithm: str) -> None:
        self.chain = Chain(algorithm)
        self.clock = FixedClock(START + 1)
        self.trust: FedTrust = Trust.fed(root=self.chain.root(), clock=self.clock)
        self.served = self.chain.manifest()
        self.trust.feed(self.served)
        self.validator = Validator(trust=self.trust)

    def verdict(self, token: str) -> str:
        try:
            self.validator.validate(token, EXPECT)
        except Refused as refusal:
            return str(refusal.reason.value)
        return "accepted"


@pytest.fixture(scope="module", params=ALGORITHMS)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture(scope="module")
def es256() -> World:
    return World("ES256")


EXTRA = st.fixed_dictionaries(
    {},
    optional={
        "auth_time": st.integers(0, 2**40),
        "acr": TEXT,
        "amr": st.lists(TEXT, min_size=1, max_size=3),
        "parent": TEXT,
        "act": st.fixed_dictionaries({"sub": TEXT}),
    },
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    client_id=TEXT,
    sub=TEXT,
    scope=st.lists(st.from_regex(r"[a-z.]{1,12}", fullmatch=True), max_size=4).map(" ".join),
    ttl=st.integers(1, 3_600),
    extra=st.none() | EXTRA,
)
def test_everything_the_signer_makes_the_validator_accepts(
    world: World, client_id: str, sub: str, scope: str, ttl: int, extra: dict[str, Any] | None
) -> None:
    token = world.chain.token(client_id=client_id, sub=sub, scope=scope, ttl=ttl, extra=extra or None)
    verified = world.validator.validate(token, EXPECT)
    assert verified.claims["sub"] == sub
    assert verified.claims["client_id"] == client_id
    assert verified.claims["exp"] - verified.claims["iat"] == ttl
    assert set(extra or {}) <= set(verified.claims)


def _changed(text: str, position: int) -> Iterator[str]:
    """The same text with one character changed, dropped or doubled."""
    old = text[position]
    for new in (B64[(B64.find(old) + 1) % 64], B64[(B64.find(old) + 33) % 64], ".", "="):
        if new != old:
            yield text[:position] + new + text[position + 1 :]
    yield text[:position] + text[position + 1 :]
    yield text[:position] + old + text[position:]


def test_every_single_mutation_of_a_token_is_refused(world: World) -> None:
    token = world.chain.token()
    assert world.verdict(token) == "accepted"
    for position in range(len(token)):
        for mutant in _changed(token, position):
            if mutant != token:
                assert world.verdict(mutant) != "accepted", (position, mutant)


def test_every_single_mutation_of_the_served_manifest_is_refused(es256: World) -> None:
    document = json.loads(es256.served)
    for member in ("manifest", "admission"):
        text = document[member]
        for position in range(0, len(text), 7):
            for mutant in _changed(text, position):
                trust = Trust.fed(root=es256.chain.root(), clock=es256.clock)
                with pytest.raises(Refused):
                    trust.feed(json.dumps(document | {member: mutant}).encode())


def test_every_single_mutation_of_the_root_is_refused(es256: World) -> None:
    document = json.loads(es256.chain.root())
    payload, signature = document["payload"], document["signatures"][0]
    for position in range(0, len(payload), 3):
        for mutant in _changed(payload, position):
            _require_unusable(es256, {"payload": mutant, "signatures": [signature]})
    for name in ("protected", "signature"):
        for position in range(0, len(signature[name]), 3):
            for mutant in _changed(signature[name], position):
                _require_unusable(es256, document | {"signatures": [signature | {name: mutant}]})


def _require_unusable(world: World, root: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="root"):
        Trust.fed(root=json.dumps(root).encode(), clock=world.clock)


def test_a_bit_of_the_published_key_changes_the_verdict(es256: World) -> None:
    """A key that differs from the announced one in a single bit verifies nothing, whoever signs the
    manifest.
    """
    token = es256.chain.token()
    key = es256.chain.keys["enterprise"]
    payload = key["announcement"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    flipped = bytearray(base64.urlsafe_b64decode(claims["jwk"]["x"] + "="))
    flipped[0] ^= 1
    claims["jwk"]["x"] = base64.urlsafe_b64encode(flipped).rstrip(b"=").decode()
    forged = es256.chain.signer.identity.document("sealwright-key+jwt", claims)
    with pytest.raises(Exception, match=r"thumbprint|kid|announce|point|not_admitted|bad_request"):
        es256.chain.manifest(
            keys=[
                {
                    "announcement": forged,
                    "admission": es256.chain.admission,
                    "status": "active",
                    "ledger_index": key["ledger_index"],
                }
            ]
        )
    assert es256.verdict(token) == "accepted"


def test_a_token_of_the_other_realm_is_refused_by_name(es256: World) -> None:
    assert es256.verdict(es256.chain.token("consumer")) == Reason.ISSUER_NOT_ALLOWED


def test_a_second_form_of_an_ecdsa_signature_is_the_same_token(es256: World) -> None:
    """(r, n - s) verifies as well; digest and place are those of the signing input, so the ledger knows
    it.
    """
    token = es256.chain.token()
    head, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    other = f"{head}.{base64.urlsafe_b64encode(twin).rstrip(b'=').decode()}"
    first, second = es256.validator.validate(token, EXPECT), es256.validator.validate(other, EXPECT)
    assert first.digest == second.digest


def test_time_ends_what_was_accepted(es256: World) -> None:
    world = World("ES256")
    token = world.chain.token(ttl=30)
    assert world.verdict(token) == "accepted"
    world.clock.advance(40)
    assert world.verdict(token) == Reason.TOKEN_EXPIRED
    world.clock.advance(60)
    assert world.verdict(world.chain.token()) == Reason.MANIFEST_STALE
