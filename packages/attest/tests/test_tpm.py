"""TPM quotes by software keys: what is accepted once the key is trusted, and every flaw by name."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime

import pytest

from sealwright_attest import (
    BUILT_IN,
    Code,
    Endorsements,
    EvidenceLevel,
    Known,
    Misconfigured,
    Policy,
    extra_data,
)
from sealwright_attest.keys import Algorithm
from sealwright_attest.policy.document import Measurements, Need
from sealwright_attest.policy.parse import policy_from_table
from sealwright_attest.synthetic.authority import root, to_pem
from sealwright_attest.synthetic.tpm import PCRS, AttestationKey, Quote, new_attestation_key, selection
from sealwright_attest.synthetic.world import World
from sealwright_attest.verifiers.tpm_structures import AK_ATTRIBUTES, ALG_SHA1, DECRYPT, FIXED_TPM, RESTRICTED

ALGORITHMS = [Algorithm.ECDSA_SHA256, Algorithm.RSA_SHA256]


@pytest.fixture(scope="module")
def ak() -> AttestationKey:
    return new_attestation_key()


def enrolled(key: AttestationKey) -> Known:
    return Known(enrolled=frozenset({key.name()}))


def codes(
    world: World,
    key: AttestationKey,
    quote: Quote,
    now: datetime,
    policy: Policy = BUILT_IN,
) -> tuple[Code, ...]:
    evidence = key.evidence(quote)
    return world.appraise(evidence, nonce=b"nonce", now=now, policy=policy, known=enrolled(key)).codes


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_quote_by_an_enrolled_key_is_accepted_as_virtual_tpm(
    world: World, identity: bytes, nonce: bytes, now: datetime, algorithm: Algorithm
) -> None:
    key = new_attestation_key(algorithm)
    evidence = key.evidence(Quote(extra_data(nonce, identity)), identity)
    result = world.appraise(evidence, nonce=nonce, now=now, known=enrolled(key))
    assert result.accepted
    assert result.level is EvidenceLevel.VIRTUAL_TPM
    assert result.identity_key == identity


def test_virtual_tpm_never_passes_where_hardware_is_asked_for(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    hardware = replace(BUILT_IN, level=EvidenceLevel.HARDWARE)
    assert codes(world, ak, Quote(b"nonce"), now, hardware) == (Code.LEVEL_TOO_LOW,)


def test_key_that_nobody_vouches_for_is_refused(world: World, ak: AttestationKey, now: datetime) -> None:
    result = world.appraise(ak.evidence(Quote(b"nonce")), nonce=b"nonce", now=now)
    assert result.codes == (Code.AK_UNTRUSTED,)
    assert result.level is EvidenceLevel.NONE


def test_key_with_a_certificate_is_trusted_up_to_the_level_of_its_root(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    maker = root("maker of real TPMs", Algorithm.RSA_SHA256)
    middle = maker.subordinate("maker's intermediate")

    def judged(
        certificates: tuple[bytes, ...], policy: Policy = BUILT_IN
    ) -> tuple[tuple[Code, ...], EvidenceLevel]:
        evidence = ak.evidence(Quote(b"nonce"), certificates=certificates)
        result = world.appraise(evidence, nonce=b"nonce", now=now, policy=policy)
        return result.codes, result.level

    assert judged((ak.certificate(world.tpm_root),)) == ((), EvidenceLevel.VIRTUAL_TPM)
    chain = (middle.certificate, ak.certificate(middle))
    assert judged(chain) == ((Code.CHAIN_UNTRUSTED,), EvidenceLevel.NONE)
    pem = to_pem(maker.certificate)
    virtual = replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, roots={"x": pem}))
    assert judged(chain, virtual) == ((), EvidenceLevel.VIRTUAL_TPM)
    real = replace(
        BUILT_IN, level=EvidenceLevel.HARDWARE, tpm=replace(BUILT_IN.tpm, hardware_roots={"x": pem})
    )
    assert judged(chain, real) == ((), EvidenceLevel.HARDWARE)
    anothers = new_attestation_key().certificate(world.tpm_root)
    assert judged((anothers,)) == ((Code.ENDORSEMENT_MISSING,), EvidenceLevel.NONE)


@pytest.mark.parametrize(
    "attributes",
    [AK_ATTRIBUTES & ~RESTRICTED, AK_ATTRIBUTES & ~FIXED_TPM, AK_ATTRIBUTES | DECRYPT],
    ids=["not_restricted", "not_fixed", "decrypts"],
)
def test_key_without_the_attributes_is_refused_even_when_enrolled(
    world: World, now: datetime, attributes: int
) -> None:
    key = new_attestation_key(attributes=attributes)
    assert codes(world, key, Quote(b"nonce"), now) == (Code.AK_UNFIT,)


FLAWS = [
    ("replayed_nonce", Quote(b"an older nonce"), Code.NONCE_MISMATCH),
    ("made_outside_a_tpm", Quote(b"nonce", magic=0x12345678), Code.MALFORMED),
    ("certify_instead_of_quote", Quote(b"nonce", kind=0x8017), Code.KIND_MISMATCH),
    ("sha1_bank", Quote(b"nonce", selected=(selection(PCRS, ALG_SHA1),)), Code.PCR_BANK),
    ("two_banks", Quote(b"nonce", selected=(selection(PCRS), selection(PCRS, ALG_SHA1))), Code.PCR_BANK),
    ("selects_less", Quote(b"nonce", selected=(selection(range(8)),)), Code.PCR_SELECTION),
    ("digest_of_other_values", Quote(b"nonce", digest=bytes(32)), Code.PCR_DIGEST),
]


@pytest.mark.parametrize(("quote", "code"), [one[1:] for one in FLAWS], ids=[one[0] for one in FLAWS])
def test_flawed_quote_is_refused_for_its_flaw(
    world: World, ak: AttestationKey, now: datetime, quote: Quote, code: Code
) -> None:
    assert codes(world, ak, quote, now) == (code,)


def test_resettable_pcrs_cannot_be_presented_as_boot_pcrs(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    """A genuine key quotes 16 and 23, reset and extended to golden values, and sends them as 0 and 1."""
    golden = {16: b"\x0a" * 32, 23: b"\x0b" * 32}
    quote = Quote(b"nonce", pcrs=golden)
    evidence = replace(ak.evidence(quote), unverified_body=ak.body(quote, {0: golden[16], 1: golden[23]}))
    rules = replace(BUILT_IN.tpm, pcrs={"pcr0": (golden[16].hex(),), "pcr1": (golden[23].hex(),)})
    policy = replace(BUILT_IN, tpm=rules)
    result = world.appraise(evidence, nonce=b"nonce", now=now, policy=policy, known=enrolled(ak))
    assert Code.PCR_SELECTION in result.codes
    assert not result.genuine
    honest = world.appraise(ak.evidence(quote), nonce=b"nonce", now=now, policy=policy, known=enrolled(ak))
    assert honest.codes == (Code.PCR_SELECTION,)


@pytest.mark.parametrize("index", [16, 23])
@pytest.mark.parametrize("section", ["tpm2", "azure"])
def test_policy_that_reads_a_resettable_pcr_is_misconfigured(section: str, index: int) -> None:
    table = {
        "schema": 1,
        "name": "p",
        "revision": "1",
        "platforms": ["tpm2"],
        section: {"pcrs": {f"pcr{index}": ["00" * 32]}},
    }
    with pytest.raises(Misconfigured, match="reset"):
        policy_from_table(table)


def test_signature_by_another_key_is_refused(world: World, ak: AttestationKey, now: datetime) -> None:
    other = new_attestation_key()
    table = json.loads(ak.body(Quote(b"nonce")))
    table["signature"] = json.loads(other.body(Quote(b"nonce")))["signature"]
    evidence = replace(ak.evidence(Quote(b"nonce")), unverified_body=json.dumps(table).encode())
    result = world.appraise(evidence, nonce=b"nonce", now=now, known=enrolled(ak))
    assert result.codes == (Code.SIGNATURE_INVALID,)


def test_quote_by_another_key_is_refused_although_one_is_enrolled(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    other = new_attestation_key()
    result = world.appraise(other.evidence(Quote(b"nonce")), nonce=b"nonce", now=now, known=enrolled(ak))
    assert result.codes == (Code.AK_UNTRUSTED,)


def test_changed_pcr_is_refused(world: World, ak: AttestationKey, now: datetime) -> None:
    policy = replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, pcrs={"pcr7": (PCRS[7].hex(),)}))
    assert codes(world, ak, Quote(b"nonce"), now, policy) == ()
    extended = {**PCRS, 7: hashlib.sha256(PCRS[7] + bytes(32)).digest()}
    assert codes(world, ak, Quote(b"nonce", pcrs=extended), now, policy) == (Code.PCR_VALUE,)


def test_policy_without_any_pcr_is_refused_unless_it_says_any(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    empty = replace(BUILT_IN, measurements=Measurements())
    assert codes(world, ak, Quote(b"nonce"), now, empty) == (Code.MEASUREMENT_UNKNOWN,)


def test_reboot_since_admission_is_noticed(world: World, ak: AttestationKey, now: datetime) -> None:
    known = replace(enrolled(ak), reset_count=7, restart_count=0)

    def judged(quote: Quote) -> tuple[Code, ...]:
        return world.appraise(ak.evidence(quote), nonce=b"nonce", now=now, known=known).codes

    assert judged(Quote(b"nonce")) == ()
    assert judged(Quote(b"nonce", reset_count=8)) == (Code.REBOOTED,)
    assert judged(Quote(b"nonce", restart_count=1)) == (Code.REBOOTED,)


def test_required_event_log_must_come_along_and_lead_to_the_quoted_values(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    needed = replace(BUILT_IN, tpm=replace(BUILT_IN.tpm, event_log=Need.REQUIRED))
    assert codes(world, ak, Quote(b"nonce"), now, needed) == (Code.EVENT_LOG_MISSING,)
    log, value = one_event_log(b"kernel")

    def judged(pcr: bytes) -> tuple[Code, ...]:
        quote = Quote(b"nonce", pcrs={**PCRS, 4: pcr})
        evidence = replace(ak.evidence(quote), unverified_event_log=log)
        return world.appraise(evidence, nonce=b"nonce", now=now, policy=needed, known=enrolled(ak)).codes

    assert judged(value) == ()
    assert judged(bytes(32)) == (Code.EVENT_LOG_MISMATCH, Code.EVENT_LOG_MISSING)


def test_image_in_the_event_log_can_be_revoked(world: World, ak: AttestationKey, now: datetime) -> None:
    log, value = one_event_log(b"kernel with a hole")
    table = {
        "schema": 1,
        "name": "p",
        "revision": "1",
        "platforms": ["tpm2"],
        "level": "virtual-tpm",
        "binding": "optional",
        "measurements": {
            "any": True,
            "revoked": [
                {"digest": hashlib.sha256(b"kernel with a hole").hexdigest(), "reason": "known hole"}
            ],
        },
    }
    evidence = replace(ak.evidence(Quote(b"nonce", pcrs={**PCRS, 4: value})), unverified_event_log=log)
    policy = policy_from_table(table)
    result = world.appraise(evidence, nonce=b"nonce", now=now, policy=policy, known=enrolled(ak))
    assert result.codes == (Code.MEASUREMENT_REVOKED,)


def one_event_log(data: bytes) -> tuple[bytes, bytes]:
    """A crypto-agile log of one event in PCR 4, and the value it leads to."""
    u32 = 4
    spec = b"Spec ID Event03\0" + bytes(8) + (1).to_bytes(u32, "little")
    spec += (0x000B).to_bytes(2, "little") + (32).to_bytes(2, "little") + b"\0"
    header = bytes(u32) + (3).to_bytes(u32, "little") + bytes(20) + len(spec).to_bytes(u32, "little") + spec
    digest = hashlib.sha256(data).digest()
    event = (4).to_bytes(u32, "little") + (13).to_bytes(u32, "little") + (1).to_bytes(u32, "little")
    event += (0x000B).to_bytes(2, "little") + digest + len(data).to_bytes(u32, "little") + data
    return header + event + b"\xff" * 64, hashlib.sha256(bytes(32) + digest).digest()


def test_endorsement_certificate_alone_vouches_for_nothing(
    world: World, ak: AttestationKey, now: datetime
) -> None:
    stray = new_attestation_key(Algorithm.RSA_SHA256).certificate(world.tpm_root)
    evidence = replace(ak.evidence(Quote(b"nonce")), endorsements=Endorsements((stray,)))
    assert world.appraise(evidence, nonce=b"nonce", now=now).codes == (Code.ENDORSEMENT_MISSING,)
