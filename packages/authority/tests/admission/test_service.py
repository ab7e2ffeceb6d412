"""Who is admitted, who is not, and that an admission says what was appraised."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.documents import (
    ADMISSION_TYPE,
    DocumentSigner,
    from_b64u,
    log_id_of,
    new_private_key,
    public_jwk,
    read_signer,
    spki_of,
)
from sealwright.admission.model import (
    Admission,
    AdmissionPolicy,
    Candidate,
    Evidence,
    EvidenceLevel,
    canonical,
    digest,
)
from sealwright.admission.rules import renewal_due
from sealwright.admission.service import Admitter
from sealwright.errors import Refused
from sealwright_attest import report_data

PREFIX = "127.0.0.1:8420/ledger"
POLICY_DIGEST = "ab" * 32


@dataclass
class FixedClock:
    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at


@dataclass
class MemoryAdmissions:
    """`AdmissionStore` in memory; the contract suite in tests/store runs the SQL one."""

    kept: dict[str, Admission] = field(default_factory=dict)

    def get(self, log_id: str) -> Admission | None:
        return self.kept.get(log_id)

    def open(self) -> list[Admission]:
        return [admission for admission in self.kept.values() if admission.closed_at is None]

    def add(self, admission: Admission) -> None:
        if admission.log_id in self.kept:
            raise Refused("already_admitted", "")
        self.kept[admission.log_id] = admission

    def renew(self, admission: Admission) -> None:
        if admission.log_id not in {kept.log_id for kept in self.open()}:
            raise Refused("not_open", "")
        self.kept[admission.log_id] = admission

    def close(self, log_id: str, at: int) -> None:
        if self.kept[log_id].closed_at is None:
            self.kept[log_id] = replace(self.kept[log_id], closed_at=at)


def candidate() -> Candidate:
    jwk = public_jwk(Ed25519PrivateKey.generate().public_key())
    return Candidate(log_id_of(jwk), f"{PREFIX}/{log_id_of(jwk)}", jwk, POLICY_DIGEST)


NONCE = "00" * 32


def evidence(who: Candidate, kind: str = "simulated", nonce: str = NONCE) -> Evidence:
    try:
        key = spki_of(who.jwk)
    except (KeyError, TypeError, ValueError):
        key = b"of no form"
    return Evidence(kind, "AAAA", report_data(bytes.fromhex(nonce), key).hex(), nonce)


WHO = candidate()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store() -> MemoryAdmissions:
    return MemoryAdmissions()


@pytest.fixture
def key() -> DocumentSigner:
    return read_signer(ADMISSION_TYPE, new_private_key(), "a test")


def admitter(
    key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock, asked: str = "none"
) -> Admitter:
    policy = AdmissionPolicy(EvidenceLevel(asked), 3_600)
    return Admitter(key, policy, SoftwareAppraiser(), store, clock, PREFIX)


def claims(jws: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(from_b64u(jws.split(".")[1]))
    return decoded


def test_an_admission_says_what_was_appraised(
    key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    who = candidate()
    admission = admitter(key, store, clock).admit(who, evidence(who), POLICY_DIGEST)
    said = claims(admission.statement)
    assert said == {
        "incarnation": who.log_id,
        "origin": who.origin,
        "jwk": who.jwk,
        "evidence": "simulated",
        "result": digest(json.loads(admission.result)),
        "policy": digest(AdmissionPolicy(EvidenceLevel.NONE, 3_600).document()),
        "admitted_at": int(clock.at),
        "expires_at": int(clock.at) + 3_600,
    }
    assert json.loads(admission.result)["nonce"] == NONCE
    assert store.open() == [admission]


def test_an_admission_is_signed_by_the_admission_key(
    key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    who = candidate()
    header, body, signature = (
        admitter(key, store, clock).admit(who, evidence(who), POLICY_DIGEST).statement.split(".")
    )
    assert json.loads(from_b64u(header)) == {"alg": "EdDSA", "kid": key.kid, "typ": ADMISSION_TYPE}
    public = Ed25519PublicKey.from_public_bytes(from_b64u(key.jwk["x"]))
    public.verify(from_b64u(signature), f"{header}.{body}".encode())


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("identity_not_bound", {"log_id": "a" * 16}),
        ("identity_not_bound", {"origin": "evil.example/ledger/x"}),
        ("identity_not_bound", {"jwk": public_jwk(Ed25519PrivateKey.generate().public_key())}),
        ("identity_not_bound", {"jwk": {}}),
        ("identity_not_bound", {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "!"}}),
        ("identity_not_bound", {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": 5}}),
        ("identity_not_bound", {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}),
        ("policy_differs", {"policy_digest": "cd" * 32}),
    ],
)
def test_a_candidate_that_is_not_what_was_started_is_refused(
    code: str, change: dict[str, Any], key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    who = replace(candidate(), **change)
    with pytest.raises(Refused) as caught:
        admitter(key, store, clock).admit(who, evidence(who), POLICY_DIGEST)
    assert caught.value.code == code
    assert store.kept == {}


@pytest.mark.parametrize(
    "borrowed",
    [evidence(candidate()), evidence(WHO, nonce="11" * 32), Evidence("simulated", "AAAA", "", NONCE)],
    ids=["of_another_signer", "of_another_nonce", "of_nothing"],
)
def test_evidence_that_is_not_bound_to_this_signer_and_nonce_is_refused(
    borrowed: Evidence, key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    with pytest.raises(Refused) as caught:
        admitter(key, store, clock).admit(WHO, replace(borrowed, nonce=NONCE), POLICY_DIGEST)
    assert caught.value.code == "evidence_not_bound"
    assert store.kept == {}


@pytest.mark.parametrize("asked", [level for level in EvidenceLevel if level is not EvidenceLevel.NONE])
@pytest.mark.parametrize("kind", ["none", "simulated"])
def test_software_never_passes_as_more_than_it_is(
    asked: EvidenceLevel, kind: str, key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    serve, who = admitter(key, store, clock, asked), candidate()
    if (kind, asked) == ("simulated", EvidenceLevel.SIMULATED):
        assert serve.admit(who, evidence(who, kind), POLICY_DIGEST).level is EvidenceLevel.SIMULATED
        return
    with pytest.raises(Refused) as caught:
        serve.admit(who, evidence(who, kind), POLICY_DIGEST)
    assert caught.value.code == "evidence_too_weak"


@given(kind=st.text().filter(lambda kind: kind not in {"none", "simulated"}))
def test_evidence_of_any_other_kind_is_refused(kind: str) -> None:
    who = candidate()
    with pytest.raises(Refused) as caught:
        SoftwareAppraiser().appraise(who, evidence(who, kind), 0.0)
    assert caught.value.code == "evidence_not_understood"


def test_a_log_is_admitted_once_and_renewed_only_while_open(
    key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    serve, who = admitter(key, store, clock), candidate()
    first = serve.admit(who, evidence(who), POLICY_DIGEST)
    with pytest.raises(Refused, match="already_admitted"):
        serve.admit(who, evidence(who), POLICY_DIGEST)
    clock.at += 1_800
    assert serve.renewal_due(first)
    renewed = serve.renew(who, evidence(who), POLICY_DIGEST)
    assert renewed.expires_at == first.expires_at + 1_800
    serve.close(who.log_id)
    with pytest.raises(Refused, match="not_open"):
        serve.renew(who, evidence(who), POLICY_DIGEST)


def test_what_a_run_left_open_is_closed_by_the_next(
    key: DocumentSigner, store: MemoryAdmissions, clock: FixedClock
) -> None:
    before = admitter(key, store, clock)
    left = {before.admit(who, evidence(who), POLICY_DIGEST).log_id for who in (candidate(), candidate())}
    closed = admitter(key, store, clock).close_left_over()
    assert {admission.log_id for admission in closed} == left
    assert store.open() == []


@given(life=st.integers(2, 10**6), age=st.floats(0, 2 * 10**6))
def test_renewal_is_due_from_half_time_on(life: int, age: float) -> None:
    admission = Admission("a", "b", {}, EvidenceLevel.NONE, "", "", 1_000, 1_000 + life)
    assert renewal_due(admission, 1_000 + age) == (age >= life / 2)


@given(
    st.recursive(
        st.one_of(st.integers(), st.text(), st.booleans()), lambda inner: st.dictionaries(st.text(), inner)
    )
)
def test_a_digest_does_not_depend_on_the_order_of_members(document: Any) -> None:
    assert digest(json.loads(canonical(document))) == digest(document)


def test_levels_are_ranked_weakest_first() -> None:
    ranked = sorted(EvidenceLevel, key=lambda level: level.rank)
    assert ranked == ["none", "simulated", "virtual-tpm", "hardware"]


def test_a_signer_of_documents_does_not_show_its_key(key: DocumentSigner) -> None:
    assert "key=" not in repr(key)
