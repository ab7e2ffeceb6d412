"""Evidence is appraised by the policy that was named, bound to this signer, and kept with its result."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import sealwright_attest as attest
from sealwright.admission import rules
from sealwright.admission.attested import AttestedAppraiser, read_policy
from sealwright.admission.documents import log_id_of, public_jwk, spki_of
from sealwright.admission.endorsements import read_endorsements
from sealwright.admission.model import AdmissionPolicy, Appraisal, Candidate, Evidence, EvidenceLevel
from sealwright.errors import Misconfigured, Refused
from sealwright_attest.policy.document import Grace, RevokedMeasurement
from sealwright_attest.synthetic import snp, tdx
from sealwright_attest.synthetic.world import World, new_world
from sealwright_attest.verifiers.simulated import make_simulated

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def world() -> World:
    return new_world()


def candidate() -> Candidate:
    jwk = public_jwk(Ed25519PrivateKey.generate().public_key())
    return Candidate(log_id_of(jwk), f"x/{log_id_of(jwk)}", jwk, "ab" * 32)


def shown(world: World, who: Candidate, nonce: bytes = NONCE, **flaws: int) -> Evidence:
    bound = attest.report_data(nonce, spki_of(who.jwk))
    guest = snp.Guest(report_data=bound, **flaws)  # type: ignore[arg-type] # the flaws' own types
    bundle = world.amd["Genoa"].evidence(guest, spki_of(who.jwk))
    return Evidence("sev-snp", attest.serialize_bundle(bundle).decode(), bound.hex(), NONCE.hex())


def appraised(world: World, who: Candidate, evidence: Evidence, policy: attest.Policy) -> Appraisal:
    return AttestedAppraiser(policy, world.appraise).appraise(who, evidence, NOW.timestamp())


def test_genuine_evidence_is_kept_with_its_result_and_the_policys_hash(world: World) -> None:
    who = candidate()
    evidence = shown(world, who)
    found = appraised(world, who, evidence, attest.BUILT_IN)
    assert found.level is EvidenceLevel.HARDWARE
    assert found.facts["evidence"] == evidence.evidence
    assert found.facts["policy"] == attest.BUILT_IN.hash()
    assert found.facts["appraisal"]["identity_key"] == spki_of(who.jwk).hex()
    again = attest.parse_bundle(found.facts["evidence"].encode())
    assert world.appraise(again, nonce=NONCE, policy=attest.BUILT_IN, now=NOW).accepted


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("evidence_refused", lambda world, who: shown(world, who, bytes(32))),
        ("evidence_not_bound", lambda world, who: shown(world, candidate())),
        ("evidence_not_understood", lambda world, who: replace(shown(world, who), kind="tdx")),
        ("evidence_not_understood", lambda world, who: replace(shown(world, who), evidence="{}")),
    ],
    ids=["another_nonce", "another_key", "another_kind", "malformed"],
)
def test_other_evidence_is_refused(
    code: str, change: Callable[[World, Candidate], Evidence], world: World
) -> None:
    who = candidate()
    with pytest.raises(Refused) as caught:
        appraised(world, who, change(world, who), attest.BUILT_IN)
    assert caught.value.code == code


def test_a_refusal_says_what_was_found_what_was_asked_and_the_fix(world: World) -> None:
    who = candidate()
    with pytest.raises(Refused) as caught:
        appraised(
            world,
            who,
            shown(world, who, policy=snp.Guest(report_data=bytes(64)).policy | 1 << 19),
            attest.BUILT_IN,
        )
    assert "debug" in caught.value.public
    assert attest.errors.FIXES[attest.Code.DEBUG] in caught.value.public


def test_a_root_that_is_not_shipped_is_refused(world: World) -> None:
    who = candidate()
    with pytest.raises(Refused, match="chain-untrusted"):
        AttestedAppraiser(attest.BUILT_IN).appraise(who, shown(world, who), NOW.timestamp())


def test_simulated_evidence_never_passes_a_policy_for_hardware() -> None:
    who = candidate()
    bound = attest.report_data(NONCE, spki_of(who.jwk))
    body = make_simulated(bound, bytes(48))
    bundle = attest.Evidence(attest.Kind.SIMULATED, body, unverified_identity_key=spki_of(who.jwk))
    evidence = Evidence("simulated", attest.serialize_bundle(bundle).decode(), bound.hex(), NONCE.hex())
    with pytest.raises(Refused, match="platform-refused"):
        AttestedAppraiser(attest.BUILT_IN).appraise(who, evidence, NOW.timestamp())


def test_a_signer_without_evidence_is_worth_nothing_whatever_the_policy() -> None:
    found = AttestedAppraiser(attest.BUILT_IN).appraise(candidate(), Evidence("none", "", "", ""), 0.0)
    assert found.level is EvidenceLevel.NONE


def test_a_revoked_image_is_refused_to_newcomers_and_bounded_for_those_admitted(world: World) -> None:
    who, since = candidate(), NOW - timedelta(seconds=60)
    image = snp.Guest(report_data=bytes(64)).measurement.hex()
    grace = Grace(since, 600)
    revoked = RevokedMeasurement(image, "a known hole", grace)
    policy = replace(attest.BUILT_IN, measurements=replace(attest.BUILT_IN.measurements, revoked=(revoked,)))
    found = appraised(world, who, shown(world, who), policy)
    assert found.grace_until == int(since.timestamp()) + 600
    with pytest.raises(Refused, match="evidence_refused"):
        rules.require_no_grace(found)
    asked = AdmissionPolicy(EvidenceLevel.HARDWARE, 86_400)
    statement = rules.statement_of(who, found, found.facts, asked, NOW.timestamp())
    assert statement["expires_at"] == found.grace_until


def test_a_policy_that_cannot_be_read_is_no_policy() -> None:
    with pytest.raises(Misconfigured, match="bad_admission_policy"):
        read_policy(b"schema = 1\nunknown = true\n", "a file")


def test_the_policys_hash_is_part_of_what_an_admission_names() -> None:
    one = AdmissionPolicy(EvidenceLevel.HARDWARE, 60, appraisal=attest.BUILT_IN.hash())
    assert json.dumps(one.document()).count(attest.BUILT_IN.hash()) == 1


def bare(evidence: Evidence) -> Evidence:
    """The same without what its maker says of it."""
    bundle = attest.parse_bundle(evidence.evidence.encode())
    return replace(
        evidence,
        evidence=attest.serialize_bundle(replace(bundle, endorsements=attest.Endorsements())).decode(),
    )


def test_endorsements_that_are_kept_here_complete_evidence_that_comes_without(
    world: World, tmp_path: Path
) -> None:
    who = candidate()
    evidence = shown(world, who)
    (own,) = attest.parse_bundle(evidence.evidence.encode()).endorsements.certificates
    (other,) = world.amd["Milan"].evidence(snp.Guest(), b"").endorsements.certificates
    with pytest.raises(Refused, match="evidence_refused"):
        appraised(world, who, bare(evidence), attest.BUILT_IN)
    for name, certificate in (("a", other), ("b", own)):
        (tmp_path / f"{name}.der").write_bytes(certificate)
    appraiser = AttestedAppraiser(attest.BUILT_IN, world.appraise, stored=read_endorsements(tmp_path))
    appraisal = appraiser.appraise(who, bare(evidence), NOW.timestamp())
    assert appraisal.level is EvidenceLevel.HARDWARE
    assert attest.parse_bundle(appraisal.facts["evidence"].encode()).endorsements.certificates == (own,)


def test_stored_collateral_completes_a_quote_of_tdx(world: World, tmp_path: Path) -> None:
    who = candidate()
    bound, key = attest.report_data(NONCE, spki_of(who.jwk)), spki_of(who.jwk)
    bundle = world.intel.evidence(tdx.Td(bound), NOW, None, key)
    assert bundle.endorsements.collateral
    evidence = Evidence("tdx", attest.serialize_bundle(bundle).decode(), bound.hex(), NONCE.hex())
    (tmp_path / "fmspc.json").write_bytes(bundle.endorsements.collateral)
    appraiser = AttestedAppraiser(attest.BUILT_IN, world.appraise, stored=read_endorsements(tmp_path))
    assert appraiser.appraise(who, bare(evidence), NOW.timestamp()).level is EvidenceLevel.HARDWARE


def test_a_file_that_endorses_nothing_is_no_endorsement(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("call Intel")
    with pytest.raises(Misconfigured, match="bad_endorsements"):
        read_endorsements(tmp_path)
    with pytest.raises(Misconfigured, match="bad_endorsements"):
        read_endorsements(tmp_path / "absent")


def test_what_a_shadow_policy_would_refuse_is_recorded_and_does_not_count(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    who = candidate()
    strict = replace(attest.BUILT_IN, name="next", platforms=(attest.Kind.TDX,))
    appraiser = AttestedAppraiser(attest.BUILT_IN, world.appraise, shadow=strict)
    appraisal = appraiser.appraise(who, shown(world, who), NOW.timestamp())
    assert appraisal.level is EvidenceLevel.HARDWARE
    assert appraisal.facts["appraisal"]["shadow"]["verdict"] == "refused"
    assert "shadow: would refuse" in caplog.text
