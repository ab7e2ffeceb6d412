"""TDX under a synthetic root: what is accepted with a live nonce, and every flaw by name."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sealwright_attest import BUILT_IN, Code, Evidence, Policy, Verdict
from sealwright_attest.policy.document import Need
from sealwright_attest.synthetic.tdx import PCK_SERIAL, Levels, Td, new_platform, with_other_quoting_enclave
from sealwright_attest.synthetic.world import World


def with_tdx(**rules: object) -> Policy:
    return replace(BUILT_IN, tdx=replace(BUILT_IN.tdx, **rules))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [4, 5])
def test_fresh_bound_quote_of_both_versions_is_accepted(
    world: World, identity: bytes, bound: bytes, nonce: bytes, now: datetime, version: int
) -> None:
    evidence = world.intel.evidence(Td(report_data=bound, version=version), now, None, identity)
    result = world.appraise(evidence, nonce=nonce, now=now)
    assert result.verdict is Verdict.ACCEPTED
    assert result.identity_key == identity
    assert result.claims.settings["tcb_status"] == "UpToDate"
    assert result.claims.instance["ppid"] == "55" * 16


SEPT = 1 << 28
FLAWS: list[tuple[str, Td, Levels, tuple[Code, ...]]] = [
    ("debug", Td(attributes=1 | SEPT), Levels(), (Code.DEBUG,)),
    ("sept_ve_disable_off", Td(attributes=0), Levels(), (Code.TD_ATTRIBUTES,)),
    ("reserved_attribute", Td(attributes=SEPT | 1 << 9), Levels(), (Code.TD_ATTRIBUTES,)),
    ("service_td", Td(mr_service_td=b"\x01" * 48), Levels(), (Code.SERVICE_TD,)),
    ("module_not_intels", Td(mr_signer_seam=b"\1" * 48), Levels(), (Code.MALFORMED, Code.COLLATERAL_INVALID)),
    ("out_of_date", Td(), Levels("OutOfDate", "2026-05-01T00:00:00Z"), (Code.TCB_STATUS,)),
    ("configuration_needed", Td(), Levels("ConfigurationNeeded"), (Code.TCB_STATUS,)),
    ("platform_revoked", Td(), Levels("Revoked"), (Code.TCB_STATUS,)),
    ("pck_revoked", Td(), Levels(revoked=(PCK_SERIAL,)), (Code.CERTIFICATE_REVOKED,)),
    ("collateral_of_another_family", Td(), Levels(fmspc=bytes(6)), (Code.COLLATERAL_MISMATCH,)),
    ("nonce_of_another", Td(report_data=b"\x01" * 64), Levels(), (Code.BINDING_MISMATCH,)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("td", "levels", "expected"), [one[1:] for one in FLAWS], ids=[one[0] for one in FLAWS]
)
def test_flawed_quote_is_refused_for_its_flaw(
    world: World,
    identity: bytes,
    bound: bytes,
    nonce: bytes,
    now: datetime,
    td: Td,
    levels: Levels,
    expected: tuple[Code, ...],
) -> None:
    made = td if any(td.report_data) else replace(td, report_data=bound)
    result = world.appraise(world.intel.evidence(made, now, levels, identity), nonce=nonce, now=now)
    assert set(result.codes) == set(expected)
    assert result.verdict is Verdict.REFUSED


def test_quote_under_another_root_is_refused_twice(
    world: World, identity: bytes, bound: bytes, nonce: bytes, now: datetime
) -> None:
    evidence = new_platform().evidence(Td(report_data=bound), now, None, identity)
    result = world.appraise(evidence, nonce=nonce, now=now)
    assert result.codes == (Code.SIGNATURE_INVALID, Code.COLLATERAL_INVALID)


def test_quoting_enclave_of_another_signer_is_refused(
    world: World, identity: bytes, bound: bytes, nonce: bytes, now: datetime
) -> None:
    evidence = with_other_quoting_enclave(world.intel).evidence(Td(report_data=bound), now, None, identity)
    assert world.appraise(evidence, nonce=nonce, now=now).codes == (Code.COLLATERAL_INVALID,)


def test_attestation_key_that_the_quoting_enclave_did_not_make_is_refused(
    world: World, identity: bytes, bound: bytes, nonce: bytes, now: datetime
) -> None:
    platform = replace(world.intel, qe_changes={320: bytes(32)})
    result = world.appraise(
        platform.evidence(Td(report_data=bound), now, None, identity), nonce=nonce, now=now
    )
    assert result.codes == (Code.SIGNATURE_INVALID, Code.COLLATERAL_INVALID)


def test_collateral_is_judged_at_now(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    evidence = world.intel.evidence(Td(report_data=bound), now, None, identity)
    early = world.appraise(evidence, nonce=nonce, now=now - timedelta(days=2))
    late = world.appraise(evidence, nonce=nonce, now=now + timedelta(days=30))
    assert early.codes == (Code.COLLATERAL_NOT_YET_VALID,)
    assert late.codes == (Code.COLLATERAL_EXPIRED,)


def test_out_of_date_platform_is_in_grace_from_the_newer_level_on(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    levels = Levels("OutOfDate", (now - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    evidence = world.intel.evidence(Td(report_data=bound), now, levels, identity)
    patient = world.appraise(evidence, nonce=nonce, now=now, policy=with_tdx(grace_seconds=4 * 86400))
    assert patient.verdict is Verdict.GRACE
    assert patient.grace_until == now + timedelta(days=1)
    strict = world.appraise(evidence, nonce=nonce, now=now, policy=with_tdx(grace_seconds=2 * 86400))
    assert strict.verdict is Verdict.REFUSED
    tolerant = with_tdx(tcb_status=("UpToDate", "OutOfDate"))
    assert world.appraise(evidence, nonce=nonce, now=now, policy=tolerant).accepted


RULES: list[tuple[dict[str, object], Code]] = [
    ({"min_tcb_evaluation": 21}, Code.COLLATERAL_TOO_OLD),
    ({"refused_advisories": ("INTEL-SA-00001",)}, Code.ADVISORY_REFUSED),
    ({"fmspcs": ("000000000000",)}, Code.PRODUCT_REFUSED),
    ({"ppids": ("00" * 16,)}, Code.INSTANCE_REFUSED),
    ({"platform_instances": ("00" * 16,)}, Code.INSTANCE_REFUSED),
    ({"mr_seams": ("00" * 48,)}, Code.CONFIGURATION),
    ({"mr_config_ids": ("01" * 48,)}, Code.HOST_DATA),
    ({"registers": {"rtmr1": ("01" * 48,)}}, Code.PCR_VALUE),
    ({"event_log": Need.REQUIRED}, Code.EVENT_LOG_MISSING),
    ({"smt": False}, Code.PLATFORM_INFO),
]


@pytest.mark.parametrize(("rules", "code"), RULES, ids=[next(iter(rules)) for rules, _ in RULES])
def test_each_rule_refuses_with_its_own_code(
    world: World,
    bound: bytes,
    identity: bytes,
    nonce: bytes,
    now: datetime,
    rules: dict[str, object],
    code: Code,
) -> None:
    levels = Levels(advisories=("INTEL-SA-00001",))
    evidence = world.intel.evidence(Td(report_data=bound), now, levels, identity)
    assert world.appraise(evidence, nonce=nonce, now=now, policy=with_tdx(**rules)).codes == (code,)


def collateral(evidence: Evidence) -> dict[str, str]:
    found: dict[str, str] = json.loads(evidence.endorsements.collateral or b"")
    return found


@pytest.mark.parametrize(
    "member",
    ["tcb_info", "qe_identity", "tcb_info_signature", "qe_identity_signature", "pck_crl", "root_ca_crl"],
)
def test_altered_collateral_is_refused(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime, member: str
) -> None:
    evidence = world.intel.evidence(Td(report_data=bound), now, None, identity)
    table = collateral(evidence)
    middle = len(table[member]) // 2
    swapped = "1" if table[member][middle] != "1" else "2"
    table[member] = table[member][:middle] + swapped + table[member][middle + 1 :]
    altered = replace(
        evidence, endorsements=replace(evidence.endorsements, collateral=json.dumps(table).encode())
    )
    result = world.appraise(altered, nonce=nonce, now=now)
    assert len(result.codes) == 1
    assert not result.genuine


def test_trailing_bytes_after_the_signature_are_padding(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    evidence = world.intel.evidence(Td(report_data=bound, padding=b"\xab" * 39), now, None, identity)
    assert world.appraise(evidence, nonce=nonce, now=now).accepted
