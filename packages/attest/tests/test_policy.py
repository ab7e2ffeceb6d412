"""The policy document: strict, hashed, the same in both notations; shadow, warnings and difference."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sealwright_attest import (
    BUILT_IN,
    Code,
    Endorsements,
    Evidence,
    EvidenceLevel,
    Kind,
    Misconfigured,
    Outcome,
    Verdict,
    appraise,
    parse_policy,
    policy_from_table,
)
from sealwright_attest.policy.diff import rule_changes, verdict_change
from sealwright_attest.policy.document import Measurements, Need
from sealwright_attest.policy.parse import WARNABLE
from sealwright_attest.synthetic.snp import Guest
from sealwright_attest.synthetic.world import World
from sealwright_attest.verifiers.simulated import make_simulated

TOML = b"""
schema = 1
name = "signers"
revision = "7"
platforms = ["sev-snp", "azure"]
level = "hardware"
warn_only = ["platform-info"]

[measurements]
signers = ["7777777777777777777777777777777777777777777777777777777777777777777777777777777777777777777777aa"]
[[measurements.allow]]
digest = "111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
label = "signer 1.4"
[[measurements.revoked]]
digest = "222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222222"
reason = "CVE-2026-0001"
since = 2026-05-01T00:00:00Z
grace_seconds = 86400

[sev_snp]
products = ["Genoa", "Turin"]
platform = { ecc = true }
[sev_snp.tcb.Genoa]
reported = { microcode = 213 }
committed = { microcode = 213 }

[azure.pcrs]
pcr11 = ["0000000000000000000000000000000000000000000000000000000000000000"]
"""


def minimal(**more: Any) -> dict[str, Any]:
    return {"schema": 1, "name": "p", "revision": "1", "platforms": ["sev-snp"], **more}


def test_toml_and_json_of_the_same_rules_are_the_same_policy() -> None:
    policy = parse_policy(TOML)
    table = tomllib.loads(TOML.decode())
    table["measurements"]["revoked"][0]["since"] = "2026-05-01T02:00:00+02:00"
    same = parse_policy(json.dumps(table).encode())
    assert policy == same
    assert policy.hash() == same.hash()
    assert policy.title() == "signers@7"


def test_defaults_of_a_document_are_the_strict_ones() -> None:
    policy = policy_from_table(minimal())
    assert (policy.level, policy.nonce, policy.binding) == (
        EvidenceLevel.HARDWARE,
        Need.REQUIRED,
        Need.REQUIRED,
    )
    assert (policy.measurements.any, policy.snp.debug, policy.snp.signing_keys) == (False, False, ("vcek",))


def test_hash_names_every_rule() -> None:
    base = policy_from_table(minimal())
    changed = [
        minimal(revision="2"),
        minimal(sev_snp={"vmpl": [1]}),
        minimal(measurements={"any": True}),
        minimal(max_age_seconds=1),
        minimal(tpm2={"pcrs": {"pcr0": ["00" * 32]}}),
    ]
    hashes = {base.hash(), *(policy_from_table(one).hash() for one in changed)}
    assert len(hashes) == 6
    assert base.hash() == policy_from_table(minimal(level="hardware")).hash()


WRONG = [
    ({"schema": 2}, "schema"),
    ({"name": "a b"}, "name"),
    ({"platforms": []}, "platforms"),
    ({"platforms": ["sgx"]}, "platforms"),
    ({"level": "none"}, "level"),
    ({"level": "high"}, "level"),
    ({"mesurements": {}}, "unknown"),
    ({"sev_snp": {"vmpls": [0]}}, "unknown"),
    ({"sev_snp": {"vmpl": ["0"]}}, "vmpl"),
    ({"sev_snp": {"vmpl": [True]}}, "vmpl"),
    ({"sev_snp": {"debug": "no"}}, "debug"),
    ({"sev_snp": {"chip_ids": ["00"]}}, "chip_ids"),
    ({"sev_snp": {"chip_ids": ["zz" * 64]}}, "chip_ids"),
    ({"sev_snp": {"tcb": {"Rome": {}}}}, "unknown"),
    ({"sev_snp": {"tcb": {"Milan": {"reported": {"ucode": 1}}}}}, "unknown"),
    ({"sev_snp": {"tcb": {"Milan": {"since": "2026-01-01T00:00:00"}}}}, "offset"),
    ({"measurements": {"allow": [{"digest": "00"}]}}, "digest"),
    ({"measurements": {"allow": [{"digest": "00" * 48, "lable": "x"}]}}, "unknown"),
    ({"measurements": {"revoked": [{"digest": "00" * 48}]}}, "reason"),
    ({"measurements": {"any": 1}}, "any"),
    ({"tdx": {"debug": True}}, "debug"),
    ({"tdx": {"tcb_status": ["Revoked"]}}, "tcb_status"),
    ({"tdx": {"registers": {"rtmr4": []}}}, "unknown"),
    ({"tpm2": {"roots": ["not a certificate"]}}, "roots"),
    ({"tpm2": {"ak": ["hope"]}}, "ak"),
    ({"tpm2": {"pcrs": {"pcr24": []}}}, "unknown"),
    ({"warn_only": ["debug"]}, "warn_only"),
    ({"warn_only": ["signature-invalid"]}, "warn_only"),
    ({"warn_only": ["level-too-low"]}, "warn_only"),
    ({"max_age_seconds": -1}, "max_age_seconds"),
    ({"release": {"authorities": ["x"]}}, "document"),
    ({"sev_snp": {"vmpl": []}}, "vmpl"),
    ({"sev_snp": {"products": []}}, "products"),
    ({"sev_snp": {"signing_keys": []}}, "signing_keys"),
    ({"tdx": {"tcb_status": []}}, "tcb_status"),
    ({"tpm2": {"ak": []}}, "ak"),
]


@pytest.mark.parametrize(
    ("change", "word"), WRONG, ids=[f"{word}-{index}" for index, (_, word) in enumerate(WRONG)]
)
def test_wrong_document_is_misconfigured_and_says_where(change: dict[str, Any], word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        policy_from_table({**minimal(), **change})


def test_nothing_that_makes_evidence_genuine_or_fresh_can_be_a_warning() -> None:
    never = {
        Code.SIGNATURE_INVALID, Code.CHAIN_UNTRUSTED, Code.NONCE_MISMATCH, Code.BINDING_MISMATCH, Code.DEBUG,
        Code.LEVEL_TOO_LOW, Code.PLATFORM_REFUSED, Code.MEASUREMENT_REVOKED, Code.AK_UNTRUSTED,
        Code.PCR_SELECTION, Code.MIGRATION, Code.VMPL, Code.RELEASE_CONDITION,
    }  # fmt: skip
    assert not never & set(WARNABLE)


def test_warn_only_rule_warns_and_says_why(world: World, now: datetime, nonce: bytes) -> None:
    evidence = world.amd["Genoa"].evidence(Guest(report_data=nonce.ljust(64, b"\0"), platform_info=0))
    rules = replace(BUILT_IN, snp=replace(BUILT_IN.snp, platform={"ecc": True}))
    assert world.appraise(evidence, nonce=nonce, now=now, policy=rules).codes == (Code.PLATFORM_INFO,)
    lenient = replace(rules, warn_only=(Code.PLATFORM_INFO,))
    result = world.appraise(evidence, nonce=nonce, now=now, policy=lenient)
    assert result.accepted
    warned = [check for check in result.checks if check.outcome is Outcome.WARNED]
    assert [(check.field, bool(check.fix)) for check in warned] == [("platform.ecc", True)]


def test_shadow_policy_says_what_it_would_refuse_and_decides_nothing(
    world: World, now: datetime, nonce: bytes
) -> None:
    evidence = world.amd["Genoa"].evidence(Guest(report_data=nonce.ljust(64, b"\0")))
    candidate = replace(BUILT_IN, name="candidate", measurements=Measurements())
    result = world.appraise(evidence, nonce=nonce, now=now, shadow=candidate)
    assert result.accepted
    assert result.shadow is not None
    assert result.shadow.verdict is Verdict.REFUSED
    assert [check.code for check in result.shadow.failed] == [Code.MEASUREMENT_UNKNOWN]
    assert result.shadow.policy_hash == candidate.hash() != result.policy_hash


def test_difference_names_rules_and_changed_verdicts(read: Callable[[str], bytes]) -> None:
    evidence = Evidence(
        Kind.SEV_SNP, read("snp/milan_v2.report.bin"), Endorsements((read("snp/milan_v2.vcek.der"),))
    )
    after = replace(BUILT_IN, snp=replace(BUILT_IN.snp, products=("Turin",)))
    assert [(one.rule, one.after) for one in rule_changes(BUILT_IN, after)] == [("snp.products", ["Turin"])]
    assert rule_changes(BUILT_IN, BUILT_IN) == ()
    change = verdict_change("milan", evidence, (BUILT_IN, after), None, datetime(2025, 1, 1, tzinfo=UTC))
    assert (change.before, change.after) == (Verdict.ACCEPTED, Verdict.REFUSED)
    assert [check.code for check in change.newly_failing] == [Code.PRODUCT_REFUSED]
    assert change.no_longer_failing == ()


@pytest.mark.parametrize("level", [EvidenceLevel.HARDWARE, EvidenceLevel.VIRTUAL_TPM])
def test_simulated_evidence_never_satisfies_a_real_level(
    now: datetime, nonce: bytes, identity: bytes, bound: bytes, level: EvidenceLevel
) -> None:
    evidence = Evidence(Kind.SIMULATED, make_simulated(bound, b"\x11" * 48), unverified_identity_key=identity)
    asked = replace(BUILT_IN, platforms=(Kind.SIMULATED,), level=level, warn_only=tuple(WARNABLE))
    refused = appraise(evidence, nonce=nonce, policy=asked, now=now)
    assert refused.codes == (Code.LEVEL_TOO_LOW,)
    assert appraise(evidence, nonce=nonce, policy=BUILT_IN, now=now).codes == (
        Code.PLATFORM_REFUSED,
        Code.LEVEL_TOO_LOW,
    )
    laptop = replace(asked, level=EvidenceLevel.SIMULATED)
    accepted = appraise(evidence, nonce=nonce, policy=laptop, now=now)
    assert accepted.accepted
    assert accepted.level is EvidenceLevel.SIMULATED
    assert not accepted.genuine
    assert any("proves nothing" in check.found for check in accepted.checks)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SIMULATED])
def test_simulated_evidence_posing_as_another_kind_is_refused(
    now: datetime, nonce: bytes, bound: bytes, kind: Kind
) -> None:
    evidence = Evidence(kind, make_simulated(bound, b"\x11" * 48))
    result = appraise(evidence, nonce=nonce, policy=BUILT_IN, now=now)
    assert not result.accepted
    assert result.level is EvidenceLevel.NONE


def test_time_without_a_zone_and_nonces_of_no_use_are_misconfigured(bound: bytes, identity: bytes) -> None:
    evidence = Evidence(Kind.SIMULATED, b"", unverified_identity_key=identity)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the flaw under test
    with pytest.raises(Misconfigured, match="time zone"):
        appraise(evidence, nonce=None, policy=BUILT_IN, now=naive)
    for nonce in (b"", b"short", b"n" * 65):
        with pytest.raises(Misconfigured, match="nonce"):
            appraise(evidence, nonce=nonce, policy=BUILT_IN, now=naive.replace(tzinfo=UTC))


def test_hash_of_a_changed_policy_is_not_that_of_the_one_it_was_made_from() -> None:
    before = BUILT_IN.hash()
    changed = replace(BUILT_IN, revision="2")
    assert changed.hash() != before
    assert replace(changed, revision=BUILT_IN.revision).hash() == before
