"""EAR: the claims set, the AR4SI vector, and a JWT that others can verify."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_attest import (
    BUILT_IN,
    AttestationResult,
    Code,
    Endorsements,
    Evidence,
    EvidenceLevel,
    Kind,
    Known,
    Misconfigured,
    Refused,
    appraise,
    ear_claims,
    sign_ear,
    verify_ear,
)
from sealwright_attest.ear import status, tier, trustworthiness
from sealwright_attest.policy.document import AllowedMeasurement, Measurements
from sealwright_attest.synthetic.nitro import Enclave
from sealwright_attest.synthetic.snp import DEBUG, PLAIN_POLICY, Guest
from sealwright_attest.synthetic.tpm import Quote, new_attestation_key
from sealwright_attest.synthetic.world import World
from sealwright_attest.verifiers.simulated import make_simulated

PINNED = Measurements(allow=(AllowedMeasurement("11" * 48),))


@pytest.fixture
def accepted(world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime) -> AttestationResult:
    evidence = world.amd["Genoa"].evidence(Guest(report_data=bound), identity)
    return world.appraise(evidence, nonce=nonce, now=now, policy=replace(BUILT_IN, measurements=PINNED))


def test_claims_set_has_the_members_of_the_draft(accepted: AttestationResult, nonce: bytes) -> None:
    claims = ear_claims(accepted)
    assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert claims["iat"] == int(accepted.evaluated_at.timestamp())
    assert set(claims["ear_verifier_id"]) == {"developer", "build"}
    assert base64.urlsafe_b64decode(claims["eat_nonce"] + "=") == nonce
    (submodule,) = claims["submods"].values()
    assert submodule["ear_status"] == "affirming"
    assert submodule["ear_trustworthiness_vector"] == {
        "configuration": 2,
        "executables": 3,
        "hardware": 2,
        "runtime-opaque": 2,
    }
    (policy,) = submodule["ear_appraisal_policy_ids"]
    assert policy.startswith("ni:///sha-256;")
    assert submodule["sealwright_appraisal"]["evidence_level"] == "hardware"


def vector_of(world: World, guest: Guest, now: datetime, **policy: object) -> tuple[dict[str, int], str]:
    asked = replace(BUILT_IN, measurements=PINNED, **policy)  # type: ignore[arg-type]
    result = world.appraise(world.amd["Genoa"].evidence(guest), nonce=None, now=now, policy=asked)
    vector = trustworthiness(result)
    return vector, status(vector)


def test_each_failure_moves_its_claim(world: World, now: datetime) -> None:
    cases: list[tuple[Guest, str, int, str]] = [
        (Guest(policy=PLAIN_POLICY | DEBUG), "runtime-opaque", 96, "contraindicated"),
        (Guest(vmpl=1), "configuration", 96, "contraindicated"),
        (Guest(measurement=b"\x99" * 48), "executables", 33, "warning"),
        (Guest(flip=0x91), "hardware", 97, "contraindicated"),
    ]
    for guest, claim, value, worst in cases:
        vector, found = vector_of(world, guest, now)
        assert (vector[claim], found) == (value, worst)
    tcb = replace(BUILT_IN.snp, min_guest_svn=1)
    vector, found = vector_of(world, Guest(), now, snp=tcb)
    assert (vector["hardware"], found) == (32, "warning")


def test_wrong_nonce_is_not_affirmed(world: World, now: datetime) -> None:
    result = world.appraise(world.amd["Genoa"].evidence(Guest()), nonce=b"other", now=now)
    assert status(trustworthiness(result)) == "contraindicated"


def test_policy_that_accepts_any_measurement_claims_no_executables(world: World, now: datetime) -> None:
    result = world.appraise(world.aws.evidence(Enclave(now)), nonce=None, now=now)
    assert result.accepted
    vector = trustworthiness(result)
    assert (vector["executables"], vector["runtime-opaque"], vector["hardware"]) == (0, 0, 2)


def test_software_roots_never_affirm_hardware(world: World, now: datetime) -> None:
    key = new_attestation_key()
    known = Known(enrolled=frozenset({key.name()}))
    virtual = world.appraise(key.evidence(Quote(b"nonce")), nonce=b"nonce", now=now, known=known)
    assert virtual.accepted
    assert trustworthiness(virtual)["hardware"] == 0
    laptop = replace(BUILT_IN, platforms=(Kind.SIMULATED,), level=EvidenceLevel.SIMULATED)
    evidence = Evidence(Kind.SIMULATED, make_simulated(bytes(64), bytes(48)))
    simulated = appraise(evidence, nonce=None, policy=laptop, now=now)
    assert simulated.accepted
    assert ear_claims(simulated)["submods"]["simulated"]["ear_status"] == "contraindicated"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0, "none"), (1, "none"), (-1, "none"), (2, "affirming"), (31, "affirming"), (-2, "affirming"),
        (-32, "affirming"), (32, "warning"), (95, "warning"), (-33, "warning"), (-96, "warning"),
        (96, "contraindicated"), (127, "contraindicated"), (-97, "contraindicated"),
        (-128, "contraindicated"),
    ],
)  # fmt: skip
def test_tiers_are_those_of_ar4si(value: int, name: str) -> None:
    assert tier(value) == name


def test_token_verifies_with_its_key_and_no_other(accepted: AttestationResult) -> None:
    ed25519, p256 = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    tokens = {"EdDSA": sign_ear(accepted, ed25519, "k1"), "ES256": sign_ear(accepted, p256, "k1")}
    assert verify_ear(tokens["EdDSA"], ed25519.public_key()) == ear_claims(accepted)
    assert verify_ear(tokens["ES256"], p256.public_key()) == ear_claims(accepted)
    for token in tokens.values():
        for stranger in (Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
            with pytest.raises(Refused) as refusal:
                verify_ear(token, stranger.public_key())
            assert refusal.value.code is Code.SIGNATURE_INVALID
    with pytest.raises(Misconfigured):
        sign_ear(accepted, ec.generate_private_key(ec.SECP384R1()), "k1")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_altered_or_strange_tokens_are_refused(accepted: AttestationResult) -> None:
    key = Ed25519PrivateKey.generate()
    head, body, signature = sign_ear(accepted, key, "k1").split(".")
    none = part({"alg": "none", "typ": "eat+jwt"})
    critical = part({"alg": "EdDSA", "typ": "eat+jwt", "crit": ["x"], "x": 1})
    other_body = part({"eat_profile": "tag:ietf.org,2026:rats/ear#04"})
    for token in (
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{critical}.{body}.{signature}",
        f"{head}.{other_body}.{signature}",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.{signature}",
        f"{head}.{body}.{signature[:-2]}",
        "",
    ):
        with pytest.raises(Refused):
            verify_ear(token, key.public_key())
    strange = f"{head}.{part({'eat_profile': 'another'})}"
    resigned = base64.urlsafe_b64encode(key.sign(strange.encode())).rstrip(b"=").decode()
    with pytest.raises(Refused) as refusal:
        verify_ear(f"{strange}.{resigned}", key.public_key())
    assert refusal.value.code is Code.VERSION_UNKNOWN


def test_refused_genuine_evidence_says_why_in_its_token(read: Callable[[str], bytes]) -> None:
    evidence = Evidence(
        Kind.SEV_SNP,
        read("snp/milan_v2_debug.report.bin"),
        Endorsements((read("snp/milan_v2_debug.vcek.der"),)),
    )
    result = appraise(evidence, nonce=None, policy=BUILT_IN, now=datetime(2025, 1, 1, tzinfo=UTC))
    submodule = ear_claims(result)["submods"]["sev-snp"]
    assert submodule["ear_status"] == "contraindicated"
    assert [one["code"] for one in submodule["sealwright_appraisal"]["failed"]] == ["debug"]
