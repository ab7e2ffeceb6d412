"""Nitro under a synthetic root: what is accepted with a live nonce, and every flaw by name."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import cbor2
import pytest

from sealwright_attest import BUILT_IN, Code, Evidence, Kind, Policy, Refused
from sealwright_attest.policy.document import Measurements, Need
from sealwright_attest.synthetic.nitro import Enclave, fresh_key, new_cloud, sign_document
from sealwright_attest.synthetic.world import World
from sealwright_attest.verifiers.nitro import parse_document


def codes(world: World, document: bytes, now: datetime, nonce: bytes | None = None) -> tuple[Code, ...]:
    return world.appraise(Evidence(Kind.NITRO, document), nonce=nonce, now=now).codes


@pytest.mark.parametrize("tagged", [False, True])
def test_document_with_a_live_nonce_is_accepted_with_and_without_its_tag(
    world: World, nonce: bytes, now: datetime, tagged: bool
) -> None:
    document = world.aws.document(Enclave(now, nonce), tagged=tagged)
    assert codes(world, document, now, nonce) == ()


def test_bound_document_carries_the_binding_and_the_nonce(
    world: World, identity: bytes, bound: bytes, nonce: bytes, now: datetime
) -> None:
    def judged(enclave: Enclave) -> tuple[Code, ...]:
        return world.appraise(world.aws.evidence(enclave, identity), nonce=nonce, now=now).codes

    assert judged(Enclave(now, nonce, bound)) == ()
    assert judged(Enclave(now, b"another nonce", bound)) == (Code.NONCE_MISMATCH,)
    assert judged(Enclave(now, nonce, b"x" * 64)) == (Code.BINDING_MISMATCH,)
    assert judged(Enclave(now, nonce)) == (Code.BINDING_MISMATCH,)


def test_debug_enclave_is_refused_unless_the_policy_allows_it(
    world: World, nonce: bytes, now: datetime
) -> None:
    enclave = Enclave(now, nonce, pcrs={index: bytes(48) for index in range(16)})
    evidence = world.aws.evidence(enclave)
    assert world.appraise(evidence, nonce=nonce, now=now).codes == (Code.DEBUG,)
    lax = replace(BUILT_IN, nitro=replace(BUILT_IN.nitro, debug=True))
    assert world.appraise(evidence, nonce=nonce, now=now, policy=lax).accepted


def test_document_of_another_root_is_refused(world: World, nonce: bytes, now: datetime) -> None:
    assert codes(world, new_cloud().document(Enclave(now, nonce)), now, nonce) == (Code.CHAIN_UNTRUSTED,)


def test_document_that_another_key_signed_is_refused(world: World, nonce: bytes, now: datetime) -> None:
    payload = cbor2.loads(world.aws.document(Enclave(now, nonce)))[2]
    assert codes(world, sign_document(payload, fresh_key()), now, nonce) == (Code.SIGNATURE_INVALID,)


def test_leaf_lives_three_hours(world: World, nonce: bytes, now: datetime) -> None:
    document = world.aws.document(Enclave(now, nonce))
    assert codes(world, document, now + timedelta(hours=3), nonce) == ()
    assert codes(world, document, now + timedelta(hours=3, seconds=1), nonce) == (Code.CERTIFICATE_EXPIRED,)
    before = codes(world, document, now - timedelta(seconds=2), nonce)
    assert before == (Code.CERTIFICATE_NOT_YET_VALID,)


def test_document_from_the_future_and_one_that_is_too_old_are_stale(
    world: World, nonce: bytes, now: datetime
) -> None:
    ahead = Enclave(now, nonce, extra={"timestamp": int(now.timestamp() * 1000) + 61_000})
    assert codes(world, world.aws.document(ahead), now, nonce) == (Code.STALE,)
    limited = replace(BUILT_IN, max_age_seconds=60)
    evidence = world.aws.evidence(Enclave(now, nonce))
    late = world.appraise(evidence, nonce=nonce, now=now + timedelta(seconds=61), policy=limited)
    assert late.codes == (Code.STALE,)
    assert world.appraise(evidence, nonce=nonce, now=now + timedelta(seconds=60), policy=limited).accepted


STRANGE: list[tuple[str, Mapping[str, object]]] = [
    ("another_digest", {"digest": "SHA256"}),
    ("unknown_member", {"nitrotpm_pcrs": {}}),
    ("no_pcrs", {"pcrs": {}}),
    ("pcr_32", {"pcrs": {32: bytes(48)}}),
    ("pcr_of_20_bytes", {"pcrs": {0: bytes(20)}}),
    ("text_index", {"pcrs": {"0": bytes(48)}}),
    ("boolean_index", {"pcrs": {True: bytes(48)}}),
    ("empty_bundle", {"cabundle": []}),
    ("timestamp_zero", {"timestamp": 0}),
    ("timestamp_text", {"timestamp": "now"}),
    ("long_nonce", {"nonce": bytes(513)}),
    ("text_nonce", {"nonce": "nonce"}),
    ("empty_module", {"module_id": ""}),
    ("huge_timestamp", {"timestamp": 1 << 70}),
]


@pytest.mark.parametrize("extra", [one[1] for one in STRANGE], ids=[one[0] for one in STRANGE])
def test_payload_of_another_form_is_malformed(
    world: World, nonce: bytes, now: datetime, extra: Mapping[str, object]
) -> None:
    found = codes(world, world.aws.document(Enclave(now, nonce, extra=extra)), now, nonce)
    assert found in {(Code.MALFORMED,), (Code.STALE,)}


def test_cbor_that_is_not_strict_is_malformed(world: World, nonce: bytes, now: datetime) -> None:
    document = world.aws.document(Enclave(now, nonce))
    protected, unprotected, payload, signature = cbor2.loads(document)
    padded_length = b"\x84\x58\x04" + protected + b"\xa0" + cbor2.dumps(payload) + cbor2.dumps(signature)
    twice = (
        b"\xa2"
        + cbor2.dumps("digest")
        + cbor2.dumps("SHA384")
        + cbor2.dumps("digest")
        + cbor2.dumps("SHA384")
    )
    for broken in (
        document + b"\x00",
        document[:-1],
        b"\x9f" + document[1:] + b"\xff",
        padded_length,
        cbor2.dumps([protected, {1: 2}, payload, signature]),
        cbor2.dumps([protected, unprotected, payload]),
        cbor2.dumps([protected, unprotected, twice, signature]),
        b"\x81" * 10_000,
        b"",
    ):
        with pytest.raises(Refused) as refusal:
            parse_document(broken)
        assert refusal.value.code is Code.MALFORMED


def test_another_signature_algorithm_is_an_unknown_version(world: World, nonce: bytes, now: datetime) -> None:
    _, unprotected, payload, signature = cbor2.loads(world.aws.document(Enclave(now, nonce)))
    with pytest.raises(Refused) as refusal:
        parse_document(cbor2.dumps([bytes.fromhex("a10126"), unprotected, payload, signature]))
    assert refusal.value.code is Code.VERSION_UNKNOWN


def test_image_is_accepted_by_pcr0_by_its_signer_or_by_named_pcrs(
    world: World, nonce: bytes, now: datetime
) -> None:
    evidence = world.aws.evidence(Enclave(now, nonce))

    def judged(policy: Policy) -> tuple[Code, ...]:
        return world.appraise(evidence, nonce=nonce, now=now, policy=policy).codes

    by_signer = Measurements(signers=((b"\x09" * 48).hex(),))
    assert judged(replace(BUILT_IN, measurements=by_signer)) == ()
    assert judged(replace(BUILT_IN, measurements=Measurements())) == (Code.MEASUREMENT_UNKNOWN,)
    role = replace(BUILT_IN.nitro, pcrs={"pcr3": ((b"\x04" * 48).hex(),)})
    assert judged(replace(BUILT_IN, nitro=role)) == ()
    other = replace(BUILT_IN.nitro, pcrs={"pcr3": ("00" * 48,)}, module_ids=("i-other",))
    assert judged(replace(BUILT_IN, nitro=other)) == (Code.INSTANCE_REFUSED, Code.PCR_VALUE)


def test_policy_that_needs_a_nonce_refuses_an_appraisal_without_one(world: World, now: datetime) -> None:
    needed = replace(BUILT_IN, nonce=Need.REQUIRED)
    result = world.appraise(world.aws.evidence(Enclave(now)), nonce=None, now=now, policy=needed)
    assert result.codes == (Code.NONCE_MISSING,)


def test_policy_that_needs_a_binding_refuses_evidence_without_a_key(
    world: World, nonce: bytes, now: datetime
) -> None:
    needed = replace(BUILT_IN, binding=Need.REQUIRED)
    result = world.appraise(world.aws.evidence(Enclave(now, nonce)), nonce=nonce, now=now, policy=needed)
    assert result.codes == (Code.BINDING_MISSING,)
    assert result.identity_key is None
