"""No changed byte of signed evidence is accepted, and whatever is wrong ends in a named refusal."""

import base64
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sealwright_attest import (
    BUILT_IN,
    AttestationResult,
    Code,
    Endorsements,
    Evidence,
    Kind,
    Known,
    appraise,
    extra_data,
)
from sealwright_attest.keys import Algorithm
from sealwright_attest.octets import b64, b64url
from sealwright_attest.synthetic.nitro import Enclave
from sealwright_attest.synthetic.snp import Guest
from sealwright_attest.synthetic.tdx import Td
from sealwright_attest.synthetic.tpm import Quote, azure_body, new_attestation_key, runtime_document
from sealwright_attest.synthetic.world import World
from sealwright_attest.verifiers.snp_report import SIZE
from sealwright_attest.verifiers.tdx_quote import parse_quote

SEED = 20260601


def flips(
    data: bytes, positions: Iterator[int] | range, choose: random.Random
) -> Iterator[tuple[int, bytes]]:
    for at in positions:
        changed = bytearray(data)
        changed[at] ^= 1 << choose.randrange(8)
        yield at, bytes(changed)


def require_named_refusal(result: AttestationResult, at: object) -> None:
    assert not result.accepted, f"a change at {at} was accepted"
    assert result.codes, f"a change at {at} was refused without a reason"
    assert set(result.codes) <= set(Code)


@pytest.fixture
def judge(world: World, nonce: bytes, now: datetime) -> Callable[[Evidence], AttestationResult]:
    return lambda evidence: world.appraise(evidence, nonce=nonce, now=now)


Judge = Callable[[Evidence], AttestationResult]


def test_bytes_of_an_snp_report_count(world: World, bound: bytes, identity: bytes, judge: Judge) -> None:
    evidence = world.amd["Genoa"].evidence(Guest(report_data=bound), identity)
    assert judge(evidence).accepted
    for at, changed in flips(evidence.unverified_body, range(0, SIZE, 4), random.Random(SEED)):
        require_named_refusal(judge(replace(evidence, unverified_body=changed)), at)


def test_every_byte_of_an_snp_endorsement_key_counts(
    world: World, bound: bytes, identity: bytes, judge: Judge
) -> None:
    evidence = world.amd["Turin"].evidence(Guest(report_data=bound), identity)
    certificate = evidence.endorsements.certificates[0]
    for at, changed in flips(certificate, range(0, len(certificate), 3), random.Random(SEED)):
        endorsements = replace(evidence.endorsements, certificates=(changed,))
        require_named_refusal(judge(replace(evidence, endorsements=endorsements)), at)


@pytest.mark.parametrize("version", [4, 5])
def test_every_signed_byte_of_a_tdx_quote_counts(
    world: World, bound: bytes, identity: bytes, now: datetime, judge: Judge, version: int
) -> None:
    evidence = world.intel.evidence(Td(report_data=bound, version=version), now, None, identity)
    assert judge(evidence).accepted
    signed = len(parse_quote(evidence.unverified_body).signed)
    step = 1 if version == 5 else 3
    for at, changed in flips(evidence.unverified_body, range(0, signed, step), random.Random(SEED)):
        require_named_refusal(judge(replace(evidence, unverified_body=changed)), at)


def test_a_tdx_quote_may_change_behind_its_signature_and_then_says_the_same(
    world: World, bound: bytes, identity: bytes, now: datetime, judge: Judge
) -> None:
    evidence = world.intel.evidence(Td(report_data=bound), now, None, identity)
    before = judge(evidence)
    body = evidence.unverified_body
    choose = random.Random(SEED)
    signed = len(parse_quote(body).signed)
    for at, changed in flips(body, iter(sorted(choose.sample(range(signed, len(body)), 250))), choose):
        result = judge(replace(evidence, unverified_body=changed))
        if result.accepted:
            assert result.claims == before.claims, f"a change at {at} was accepted with other claims"
        else:
            require_named_refusal(result, at)


def test_bytes_of_a_nitro_document_count(
    world: World, nonce: bytes, now: datetime, bound: bytes, identity: bytes, judge: Judge
) -> None:
    evidence = world.aws.evidence(Enclave(now, nonce, bound), identity)
    assert judge(evidence).accepted
    body, choose = evidence.unverified_body, random.Random(SEED)
    for at, changed in flips(body, iter(sorted(choose.sample(range(len(body)), 300))), choose):
        require_named_refusal(judge(replace(evidence, unverified_body=changed)), at)


@pytest.mark.slow
def test_every_byte_of_a_nitro_document_counts(
    world: World, nonce: bytes, now: datetime, bound: bytes, identity: bytes, judge: Judge
) -> None:
    evidence = world.aws.evidence(Enclave(now, nonce, bound), identity)
    for at, changed in flips(
        evidence.unverified_body, range(len(evidence.unverified_body)), random.Random(SEED)
    ):
        require_named_refusal(judge(replace(evidence, unverified_body=changed)), at)


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_SHA256, Algorithm.RSA_SHA256])
def test_every_byte_of_a_tpm_quote_its_key_and_its_values_counts(
    world: World, nonce: bytes, now: datetime, identity: bytes, algorithm: Algorithm
) -> None:
    key = new_attestation_key(algorithm)
    known = Known(enrolled=frozenset({key.name()}))
    evidence = key.evidence(Quote(extra_data(nonce, identity)), identity)
    table = json.loads(evidence.unverified_body)
    assert world.appraise(evidence, nonce=nonce, now=now, known=known).accepted
    for member in ("message", "signature", "ak_public"):
        data = b64(table[member], member)
        for at, changed in flips(data, range(len(data)), random.Random(SEED)):
            body = json.dumps({**table, member: encoded(changed)}).encode()
            altered = replace(evidence, unverified_body=body)
            require_named_refusal(world.appraise(altered, nonce=nonce, now=now, known=known), (member, at))
    for index, value in table["pcrs"].items():
        other = f"{int(value, 16) ^ 1:064x}"
        body = json.dumps({**table, "pcrs": {**table["pcrs"], index: other}}).encode()
        altered = replace(evidence, unverified_body=body)
        require_named_refusal(world.appraise(altered, nonce=nonce, now=now, known=known), index)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_bytes_of_an_hcl_report_count(
    world: World, nonce: bytes, now: datetime, identity: bytes, judge: Judge
) -> None:
    ak = new_attestation_key(Algorithm.RSA_SHA256)
    runtime = runtime_document(ak)
    platform = world.amd["Milan"]
    guest = Guest(report_data=hashlib.sha256(runtime).digest().ljust(64, b"\0"))
    quote = Quote(extra_data(nonce, identity))
    body = azure_body(platform.report(guest), runtime, ak, quote, certificate=platform.certificate())
    evidence = Evidence(Kind.AZURE, body, unverified_identity_key=identity)
    assert judge(evidence).accepted
    table = json.loads(body)
    hcl = b64url(table["hcl_report"], "hcl_report")
    # Bytes 20 to 31 of the header are reserved and covered by nothing: they say nothing either.
    positions = [at for at in range(0, len(hcl), 5) if not 20 <= at < 32]
    for at, changed in flips(hcl, iter(positions), random.Random(SEED)):
        altered = json.dumps({**table, "hcl_report": list(changed)}).encode()
        require_named_refusal(judge(replace(evidence, unverified_body=altered)), at)


def test_a_changed_claimed_key_is_refused_by_every_kind(
    world: World, nonce: bytes, now: datetime, bound: bytes, identity: bytes, judge: Judge
) -> None:
    for evidence in (
        world.amd["Milan"].evidence(Guest(report_data=bound), identity),
        world.intel.evidence(Td(report_data=bound), now, None, identity),
        world.aws.evidence(Enclave(now, nonce, bound), identity),
    ):
        assert judge(evidence).accepted
        other_key = replace(evidence, unverified_identity_key=identity + b"\0")
        added_release_key = replace(evidence, unverified_release_key=bytes(32))
        for changed in (other_key, added_release_key):
            assert judge(changed).codes == (Code.BINDING_MISMATCH,)


def test_genuine_milan_report_withstands_every_single_flip(read: Callable[[str], bytes]) -> None:
    endorsements = Endorsements((read("snp/milan_v2.vcek.der"),))
    body = read("snp/milan_v2.report.bin")
    now = datetime(2025, 1, 1, tzinfo=UTC)
    for at, changed in flips(body, range(SIZE), random.Random(SEED)):
        evidence = Evidence(Kind.SEV_SNP, changed, endorsements)
        require_named_refusal(appraise(evidence, nonce=None, policy=BUILT_IN, now=now), at)
