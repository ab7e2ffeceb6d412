"""SEV-SNP under synthetic roots: what is accepted with a live nonce, and every flaw by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sealwright_attest import (
    BUILT_IN,
    Code,
    Endorsements,
    Evidence,
    Kind,
    Policy,
    Refused,
    Verdict,
    policy_from_table,
)
from sealwright_attest.policy.document import Grace, Measurements, Need, SnpRules, TcbFloor
from sealwright_attest.synthetic.authority import Request, public_der
from sealwright_attest.synthetic.snp import DEBUG, PLAIN_POLICY, AmdPlatform, Guest, new_platform
from sealwright_attest.synthetic.world import World
from sealwright_attest.verifiers.amd_keys import split_cert_table
from sealwright_attest.verifiers.snp_report import product_of, tcb_components


def with_snp(**rules: object) -> Policy:
    return replace(BUILT_IN, snp=replace(BUILT_IN.snp, **rules))  # type: ignore[arg-type]


def codes(
    world: World, evidence: Evidence, nonce: bytes | None, now: datetime, policy: Policy = BUILT_IN
) -> tuple[Code, ...]:
    return world.appraise(evidence, nonce=nonce, now=now, policy=policy).codes


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_fresh_bound_report_of_every_product_and_version_is_accepted(
    world: World, identity: bytes, bound: bytes, nonce: bytes, now: datetime, product: str, version: int
) -> None:
    guest = Guest(report_data=bound, version=version)
    result = world.appraise(world.amd[product].evidence(guest, identity), nonce=nonce, now=now)
    assert result.verdict is Verdict.ACCEPTED
    assert result.claims.product == product
    assert result.identity_key == identity


def test_vlek_is_accepted_only_where_the_policy_names_it(
    world: World, bound: bytes, nonce: bytes, identity: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    report = platform.report(Guest(report_data=bound), "vlek")
    endorsements = Endorsements((platform.certificate(kind="vlek"),))
    evidence = Evidence(Kind.SEV_SNP, report, endorsements, b"", identity)
    assert codes(world, evidence, nonce, now) == ()
    assert codes(world, evidence, nonce, now, with_snp(signing_keys=("vcek",))) == (Code.SIGNING_KEY_REFUSED,)
    asked = with_snp(providers=("CN=other.example",))
    assert codes(world, evidence, nonce, now, asked) == (Code.PROVIDER_REFUSED,)


def test_vlek_that_names_no_provider_is_refused(
    world: World, bound: bytes, nonce: bytes, identity: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    request = Request("SEV-VLEK", public_der(platform.vek), extensions=platform.levels(), serial=0, usage=0)
    report = platform.report(Guest(report_data=bound), "vlek")
    endorsements = Endorsements((platform.asvk.issue(request),))
    evidence = Evidence(Kind.SEV_SNP, report, endorsements, b"", identity)
    assert codes(world, evidence, nonce, now) == (Code.ENDORSEMENT_MISMATCH,)


FLAWS = [
    ("debug", Guest(policy=PLAIN_POLICY | DEBUG), (Code.DEBUG,)),
    ("migration", Guest(policy=PLAIN_POLICY | 1 << 18), (Code.MIGRATION,)),
    ("vmpl", Guest(vmpl=1), (Code.VMPL,)),
    ("byte_flipped", Guest(flip=0x95), (Code.SIGNATURE_INVALID,)),
    ("signature_flipped", Guest(flip=0x2A3), (Code.SIGNATURE_INVALID,)),
    ("signature_padding", Guest(flip=0x2A0 + 60), (Code.MALFORMED,)),
    ("reserved_signature_bytes", Guest(flip=0x2A0 + 200), (Code.MALFORMED,)),
    ("version_1", Guest(version=1), (Code.VERSION_UNKNOWN,)),
    ("version_6", Guest(version=6), (Code.VERSION_UNKNOWN,)),
    ("policy_reserved_bit_missing", Guest(policy=1 << 16), (Code.MALFORMED,)),
    ("policy_unknown_bit", Guest(policy=PLAIN_POLICY | 1 << 26), (Code.MALFORMED,)),
    ("chip_id_masked", Guest(chip_id=bytes(64)), (Code.ENDORSEMENT_MISMATCH,)),
    ("another_chip", Guest(chip_id=b"\x09" * 64), (Code.ENDORSEMENT_MISMATCH,)),
    ("vlek_claimed", Guest(key_info=4), (Code.ENDORSEMENT_MISMATCH,)),
    ("no_signing_key", Guest(key_info=7 << 2), (Code.ENDORSEMENT_MISMATCH,)),
    ("unknown_signing_key", Guest(key_info=3 << 2), (Code.VERSION_UNKNOWN,)),
    ("tcb_reported_lower", Guest(reported={"bootloader": 4}), (Code.ENDORSEMENT_MISMATCH,)),
    ("nonce_of_another", Guest(report_data=b"\x01" * 64), (Code.BINDING_MISMATCH,)),
]  # fmt: skip


@pytest.mark.parametrize(("guest", "expected"), [flaw[1:] for flaw in FLAWS], ids=[flaw[0] for flaw in FLAWS])
def test_flawed_report_is_refused_for_its_flaw(
    world: World,
    bound: bytes,
    identity: bytes,
    nonce: bytes,
    now: datetime,
    guest: Guest,
    expected: tuple[Code, ...],
) -> None:
    made = guest if any(guest.report_data) else replace(guest, report_data=bound)
    assert codes(world, world.amd["Genoa"].evidence(made, identity), nonce, now) == expected


def evidence_of(platform: AmdPlatform, certificate: bytes, bound: bytes, identity: bytes) -> Evidence:
    report = platform.report(Guest(report_data=bound))
    return Evidence(Kind.SEV_SNP, report, Endorsements((certificate,)), b"", identity)


def test_genuine_looking_hierarchy_under_another_root_is_refused(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    stranger = new_platform("Genoa")
    evidence = stranger.evidence(Guest(report_data=bound), identity)
    assert codes(world, evidence, nonce, now) == (Code.SIGNATURE_INVALID,)


def test_roots_that_come_along_are_ignored(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    stranger = new_platform("Genoa")
    evidence = stranger.evidence(Guest(report_data=bound), identity)
    certificates = (*evidence.endorsements.certificates, stranger.ask.certificate, stranger.ark.certificate)
    brought = replace(evidence, endorsements=Endorsements(certificates))
    assert codes(world, brought, nonce, now) == (Code.SIGNATURE_INVALID,)


def test_key_of_another_tcb_or_chip_is_refused(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    other_tcb = platform.certificate(tcb={**platform.tcb, "microcode": 1})
    other_chip = platform.certificate(chip_id=b"\x07" * 64)
    for certificate in (other_tcb, other_chip):
        evidence = evidence_of(platform, certificate, bound, identity)
        assert codes(world, evidence, nonce, now) == (Code.ENDORSEMENT_MISMATCH,)


def test_product_of_the_key_must_be_that_of_the_report(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    evidence = evidence_of(world.amd["Genoa"], world.amd["Milan"].certificate(), bound, identity)
    assert codes(world, evidence, nonce, now) == (Code.ENDORSEMENT_MISMATCH, Code.SIGNATURE_INVALID)


def test_of_a_fleets_endorsement_keys_the_one_of_this_chip_and_tcb_is_taken(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    evidence = platform.evidence(Guest(report_data=bound), identity)
    older = platform.certificate(tcb={**platform.tcb, "snp": 1})
    expired = platform.certificate(end=now - timedelta(seconds=1))
    other = replace(platform, chip_id=b"\x09" * 64).certificate()

    def judged(*certificates: bytes) -> tuple[Code, ...]:
        return codes(world, replace(evidence, endorsements=Endorsements(certificates)), nonce, now)

    assert judged(older, other, expired, platform.certificate()) == ()
    assert judged(other, older) == (Code.ENDORSEMENT_MISMATCH,)
    assert judged(other, expired) == (Code.CERTIFICATE_EXPIRED,)
    assert judged() == (Code.ENDORSEMENT_MISSING,)


def test_expired_key_is_refused_at_now_and_not_before(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    certificate = platform.certificate(end=now)
    evidence = evidence_of(platform, certificate, bound, identity)
    assert codes(world, evidence, nonce, now) == ()
    assert codes(world, evidence, nonce, now + timedelta(seconds=1)) == (Code.CERTIFICATE_EXPIRED,)


def test_revoked_signing_key_is_refused_and_a_required_list_must_be_there(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    evidence = platform.evidence(Guest(report_data=bound), identity)
    day = timedelta(days=1)

    def with_list(
        serials: tuple[int, ...], begin: datetime = now - day, end: datetime = now + day
    ) -> Evidence:
        crl = platform.ark.revocation_list(serials, begin, end)
        return replace(evidence, endorsements=replace(evidence.endorsements, crls=(crl,)))

    required = with_snp(crl=Need.REQUIRED)
    assert codes(world, with_list((1, 2)), nonce, now, required) == ()
    revoked = with_list((platform.ask.parsed().serial,))
    assert codes(world, revoked, nonce, now) == (Code.CERTIFICATE_REVOKED,)
    assert codes(world, evidence, nonce, now, required) == (Code.CRL_MISSING,)
    assert codes(world, with_list((), end=now - timedelta(hours=1)), nonce, now) == (Code.CRL_EXPIRED,)
    strangers = new_platform("Genoa").ark.revocation_list((), now - day, now + day)
    forged = replace(evidence, endorsements=replace(evidence.endorsements, crls=(strangers,)))
    assert codes(world, forged, nonce, now) == (Code.SIGNATURE_INVALID,)


def test_each_tcb_component_has_its_own_floor_and_committed_counts_too(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    platform = world.amd["Genoa"]
    low = {"bootloader": 4, "tee": 0, "snp": 22, "microcode": 200}
    evidence = platform.evidence(Guest(report_data=bound, committed=low), identity)

    def floor(**kinds: dict[str, int]) -> Policy:
        return with_snp(tcb={"Genoa": TcbFloor(**kinds)})  # type: ignore[arg-type]

    assert codes(world, evidence, nonce, now, floor(reported={"microcode": 213, "snp": 22})) == ()
    assert codes(world, evidence, nonce, now, floor(reported={"bootloader": 5})) == (Code.TCB_FLOOR,)
    assert codes(world, evidence, nonce, now, floor(committed={"microcode": 201})) == (Code.TCB_FLOOR,)
    assert codes(world, evidence, nonce, now, floor(reported={"fmc": 1})) == (Code.TCB_FLOOR,)


def test_old_tcb_is_in_grace_for_a_while_and_refused_after_it(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    evidence = world.amd["Genoa"].evidence(Guest(report_data=bound), identity)
    grace = Grace(now - timedelta(hours=1), 7200)
    policy = with_snp(tcb={"Genoa": TcbFloor(reported={"microcode": 214}, grace=grace)})
    result = world.appraise(evidence, nonce=nonce, now=now, policy=policy)
    assert (result.verdict, result.accepted) == (Verdict.GRACE, False)
    assert result.grace_until == now + timedelta(hours=1)
    later = world.appraise(evidence, nonce=nonce, now=now + timedelta(hours=2), policy=policy)
    assert later.verdict is Verdict.REFUSED


POLICIES = [
    (SnpRules(products=("Milan",)), Code.PRODUCT_REFUSED),
    (SnpRules(chip_ids=("00" * 64,)), Code.INSTANCE_REFUSED),
    (SnpRules(min_report_version=5), Code.REPORT_VERSION_REFUSED),
    (SnpRules(guest={"single_socket": True}), Code.GUEST_POLICY),
    (SnpRules(platform={"tsme": True}), Code.PLATFORM_INFO),
    (SnpRules(host_data=("01" * 32,)), Code.HOST_DATA),
    (SnpRules(family_ids=("01" * 16,)), Code.CONFIGURATION),
    (SnpRules(author_keys=("01" * 48,)), Code.IMAGE_SIGNER_UNKNOWN),
    (SnpRules(min_guest_svn=1), Code.TCB_FLOOR),
]


@pytest.mark.parametrize(("rules", "code"), POLICIES, ids=[str(code) for _, code in POLICIES])
def test_each_rule_refuses_with_its_own_code(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime, rules: SnpRules, code: Code
) -> None:
    evidence = world.amd["Genoa"].evidence(Guest(report_data=bound), identity)
    assert codes(world, evidence, nonce, now, replace(BUILT_IN, snp=rules)) == (code,)


def test_badram_check_can_be_asked_for(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    asked = with_snp(platform={"alias_check_complete": True})
    done = world.amd["Genoa"].evidence(Guest(report_data=bound, platform_info=1 << 5), identity)
    not_done = world.amd["Genoa"].evidence(Guest(report_data=bound, platform_info=0), identity)
    assert codes(world, done, nonce, now, asked) == ()
    assert codes(world, not_done, nonce, now, asked) == (Code.PLATFORM_INFO,)


def test_image_is_accepted_by_digest_or_by_its_signer_and_never_when_revoked(
    world: World, bound: bytes, identity: bytes, nonce: bytes, now: datetime
) -> None:
    signer = b"\x77" * 48
    evidence = world.amd["Genoa"].evidence(Guest(report_data=bound, id_key_digest=signer), identity)

    def asked(**rules: object) -> Policy:
        return replace(BUILT_IN, measurements=Measurements(**rules))  # type: ignore[arg-type]

    table = {
        "schema": 1,
        "name": "p",
        "revision": "1",
        "platforms": ["sev-snp"],
        "measurements": {
            "allow": [{"digest": "11" * 48, "label": "signer 1.4"}],
            "revoked": [{"digest": "11" * 48, "reason": "CVE-2026-0001"}],
        },
    }
    assert codes(world, evidence, nonce, now, asked(signers=(signer.hex(),))) == ()
    assert codes(world, evidence, nonce, now, asked()) == (Code.MEASUREMENT_UNKNOWN,)
    assert codes(world, evidence, nonce, now, asked(signers=("66" * 48,))) == (Code.IMAGE_SIGNER_UNKNOWN,)
    revoked = world.appraise(evidence, nonce=nonce, now=now, policy=policy_from_table(table))
    assert revoked.codes == (Code.MEASUREMENT_REVOKED,)
    assert any("CVE-2026-0001" in check.asked for check in revoked.checks)
    del table["measurements"]["revoked"]  # type: ignore[attr-defined]
    assert world.appraise(evidence, nonce=nonce, now=now, policy=policy_from_table(table)).accepted


def test_turin_tcb_has_its_own_layout() -> None:
    raw = bytes([1, 2, 3, 4, 0, 0, 0, 7])
    assert tcb_components("Turin", raw) == {"fmc": 1, "bootloader": 2, "tee": 3, "snp": 4, "microcode": 7}
    assert tcb_components("Milan", raw) == {"bootloader": 1, "tee": 2, "snp": 0, "microcode": 7}


@pytest.mark.parametrize(
    ("family", "model", "product"),
    [
        (0x19, 0x0F, "Milan"),
        (0x19, 0x10, "Genoa"),
        (0x19, 0xA0, "Genoa"),
        (0x19, 0xAF, "Genoa"),
        (0x1A, 0x11, "Turin"),
    ],
)
def test_processor_leads_to_its_product(family: int, model: int, product: str) -> None:
    assert product_of(family, model) == product


@pytest.mark.parametrize(("family", "model"), [(0x19, 0x20), (0x19, 0xB0), (0x1A, 0x12), (0x17, 1)])
def test_unknown_processor_is_refused(family: int, model: int) -> None:
    with pytest.raises(Refused) as refusal:
        product_of(family, model)
    assert refusal.value.code is Code.VERSION_UNKNOWN


def test_certificate_table_gives_its_certificates_and_nothing_outside_it() -> None:
    body = b"certificate"
    entry = b"\x01" * 16 + (48).to_bytes(4, "little") + len(body).to_bytes(4, "little")
    assert split_cert_table(entry + bytes(24) + body) == [body]
    for broken in (entry + bytes(24), entry, b"", entry * 20):
        with pytest.raises(Refused):
            split_cert_table(broken)


def test_serial_number_zero_is_read_without_a_general_loader(world: World) -> None:
    certificate = world.amd["Turin"].certificate(begin=datetime(2026, 1, 1, tzinfo=UTC))
    evidence = world.amd["Turin"].evidence(Guest())
    assert certificate[:1] == b"\x30"
    result = world.appraise(evidence, nonce=None, now=datetime(2026, 6, 1, tzinfo=UTC))
    assert result.accepted
