"""Root, admission and manifest: what moves the trust forward, and what is refused and leaves it as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealwright_validate import Expect, Misconfigured, Reason, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.conformance.authority import (
    DAY,
    HOUR,
    ThrowawayAuthority,
    document_header,
    general_jws,
)
from sealwright_validate.conformance.keys import compact_json, jws, make_key
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.trust_state import TrustState

World = Any
MAIL = "https://mail.example"
Members = dict[str, Any]


def refused(world: World, served: bytes) -> Reason:
    before = world.trust.held
    with pytest.raises(Refused) as caught:
        world.trust.feed(served)
    assert world.trust.held is before, "a refused document must change nothing"
    assert world.trust.last_refusal is caught.value
    return Reason(caught.value.reason)


def test_an_older_manifest_is_refused_and_so_is_a_second_one_of_the_same_version(world: World) -> None:
    old = world.authority.served()
    world.publish()
    assert refused(world, old) is Reason.MANIFEST_ROLLED_BACK
    world.authority.strict_realms.append("enterprise")
    assert refused(world, world.authority.served()) is Reason.MANIFEST_ROLLED_BACK


def test_the_same_manifest_twice_changes_nothing(world: World) -> None:
    before = world.trust.held
    world.trust.feed(world.authority.served())
    assert world.trust.held is before


def test_a_token_says_where_the_evidence_of_its_signer_can_be_had(world: World) -> None:
    log_id = world.authority.incarnation.log_id
    found = world.validate(world.authority.token(world.key))
    assert found.evidence_link == f"http://127.0.0.1:8420/admissions/{log_id}"


def test_a_manifest_without_links_is_taken_and_says_none(world: World) -> None:
    members = world.authority.manifest_members()
    members["version"] += 1
    del members["incarnations"][0]["link"]
    world.trust.feed(world.authority.served(members))
    assert world.validate(world.authority.token(world.key)).evidence_link is None


@pytest.mark.parametrize(
    "link",
    [
        "",
        None,
        7,
        "ftp://a.example/x",
        "javascript:alert(1)",
        "https://a.example/a b",
        "https://a/\n",
        "https://" + "a" * 600,
    ],
)
def test_a_link_that_is_no_address_is_refused(world: World, link: object) -> None:
    members = world.authority.manifest_members()
    members["version"] += 1
    members["incarnations"][0]["link"] = link
    assert refused(world, world.authority.served(members)) is Reason.MANIFEST_MALFORMED


def test_a_stale_manifest_is_refused_and_makes_tokens_fail_closed(world: World) -> None:
    token = world.authority.token(world.key)
    assert world.validate(token)
    world.clock.advance(59)
    assert world.validate(token)
    world.clock.advance(1)
    assert world.reason(token) is Reason.MANIFEST_STALE
    assert refused(world, world.authority.served()) is Reason.MANIFEST_STALE


def test_a_clock_that_is_set_back_does_not_make_a_manifest_fresh_again(world: World) -> None:
    token = world.authority.token(world.key)
    world.clock.advance(61)
    world.clock.set_wall(world.clock.wall() - 61)
    assert world.reason(token) is Reason.MANIFEST_STALE


def test_a_rollback_is_named_once_the_manifest_has_expired(world: World) -> None:
    old, token = world.authority.served(life=600), world.authority.token(world.key)
    world.publish()
    refused(world, old)
    assert world.validate(token)
    world.clock.advance(61)
    assert world.reason(token) is Reason.MANIFEST_ROLLED_BACK


def test_manifest_times_are_bounded(world: World) -> None:
    world.authority.version += 1
    assert refused(world, world.authority.served(life=601)) is Reason.MANIFEST_INCONSISTENT
    assert refused(world, world.authority.served(life=0)) is Reason.MANIFEST_STALE
    world.authority.now += 6
    assert refused(world, world.authority.served()) is Reason.MANIFEST_STALE
    world.authority.now -= 1
    world.trust.feed(world.authority.served())


def test_a_buried_key_cannot_come_back_even_when_its_tombstone_is_left_out(world: World) -> None:
    world.authority.retire(world.key)
    world.publish()
    world.authority.tombstones.clear()
    world.publish()
    assert world.reason(world.authority.token(world.key)) is Reason.KEY_RETIRED
    world.authority.keys.append(world.key)
    world.authority.version += 1
    assert refused(world, world.authority.served()) is Reason.MANIFEST_INCONSISTENT


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "ML-DSA-44"])
def test_a_validator_that_never_saw_a_buried_key_alive_tells_a_misuse_of_it_from_a_claim(
    new_world: Callable[..., World], algorithm: str
) -> None:
    world = new_world(algorithm=algorithm)
    genuine = world.authority.token(world.key)
    world.authority.make_key()
    world.authority.revoke(world.key)
    served = world.authority.publish()
    late = Trust.fed(root=world.authority.roots[0], clock=world.clock)
    late.feed(served)
    head, _, signature = genuine.rpartition(".")
    other = "A" if signature[10] != "A" else "B"
    for token, reason in (
        (genuine, Reason.KEY_REVOKED),
        (f"{head}.{signature[:10]}{other}{signature[11:]}", Reason.SIGNATURE_INVALID),
    ):
        with pytest.raises(Refused) as caught:
            Validator(trust=late).validate(token, Expect(audience=MAIL, realm="enterprise"))
        assert caught.value.reason is reason
    assert late.held is not None
    assert world.key.kid not in late.held.snapshot.keys


def test_without_the_public_half_a_buried_key_is_refused_by_its_name(world: World) -> None:
    genuine = world.authority.token(world.key)
    world.authority.retire(world.key)
    del world.authority.tombstones[0]["jwk"]
    late = Trust.fed(root=world.authority.roots[0], clock=world.clock)
    late.feed(world.authority.publish())
    with pytest.raises(Refused, match="not known here"):
        Validator(trust=late).validate(genuine, Expect(audience=MAIL, realm="enterprise"))


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        ("another", Reason.MANIFEST_INCONSISTENT),
        ({"kty": "oct", "k": "AAAA"}, Reason.MANIFEST_MALFORMED),
        (None, Reason.MANIFEST_MALFORMED),
        ([], Reason.MANIFEST_MALFORMED),
    ],
)
def test_a_tombstone_carries_the_key_that_it_names_or_the_manifest_is_refused(
    world: World, jwk: Any, reason: Reason
) -> None:
    world.authority.retire(world.key)
    world.authority.tombstones[0]["jwk"] = dict(make_key("ES256").jwk) if jwk == "another" else jwk
    world.authority.version += 1
    assert refused(world, world.authority.served()) is reason


def test_a_revocation_cannot_be_withdrawn(world: World) -> None:
    world.authority.revoke(world.key, issued_before=world.authority.now - 100)
    world.publish()
    world.authority.version += 1
    for weaker in ([], [world.authority.revocations[0] | {"issued_before": world.authority.now}]):
        members = world.authority.manifest_members() | {"revocations": weaker}
        assert refused(world, world.authority.served(members)) is Reason.MANIFEST_INCONSISTENT


def test_a_manifest_that_nobody_admitted_is_refused(world: World) -> None:
    stranger = make_key("EdDSA")
    members = world.authority.manifest_members() | {"version": 9}
    served = json.loads(world.authority.served())
    served["manifest"] = jws(stranger, document_header(stranger, "manifest"), members)
    assert refused(world, compact_json(served)) is Reason.MANIFEST_NOT_TRUSTED
    served["admission"] = jws(
        stranger,
        document_header(stranger, "admission"),
        {
            "incarnation": "a" * 16,
            "jwk": {name: stranger.jwk[name] for name in ("kty", "crv", "x")},
            "evidence": "hardware",
            "admitted_at": 0,
            "expires_at": world.authority.now + DAY,
        },
    )
    assert refused(world, compact_json(served)) is Reason.ADMISSION_NOT_TRUSTED


def test_one_document_cannot_pass_for_another(world: World) -> None:
    served = json.loads(world.authority.served())
    swapped = served | {"manifest": served["admission"], "admission": served["manifest"]}
    assert refused(world, compact_json(swapped)) is Reason.ADMISSION_NOT_TRUSTED
    twice_admitted = served | {"manifest": served["admission"]}
    assert refused(world, compact_json(twice_admitted)) is Reason.MANIFEST_NOT_TRUSTED


def test_an_expired_admission_or_root_ends_the_trust(world: World) -> None:
    world.authority.version += 1
    served = json.loads(world.authority.served())
    served["admission"] = world.authority.admission(expires_at=world.authority.now)
    assert refused(world, compact_json(served)) is Reason.ADMISSION_NOT_TRUSTED
    served["admission"] = world.authority.admission(expires_at=world.authority.now + 10)
    world.trust.feed(compact_json(served))
    token = world.authority.token(world.key)
    assert world.validate(token)
    world.clock.advance(10)
    assert world.reason(token) is Reason.MANIFEST_STALE
    world.clock.advance(366 * DAY)
    world.authority.now += 366 * DAY
    world.authority.version += 1
    assert refused(world, world.authority.served()) is Reason.ROOT_EXPIRED


def test_a_root_is_followed_step_by_step_only(world: World) -> None:
    second = world.authority.rotate_root()
    third = world.authority.rotate_root()
    with pytest.raises(Refused, match="does not follow"):
        world.trust.advance_root(third)
    world.trust.advance_root(second)
    world.trust.advance_root(third)
    with pytest.raises(Refused):
        world.trust.advance_root(second)
    world.publish()


def test_a_root_needs_the_threshold_of_the_old_and_of_the_new_keys(world: World) -> None:
    authority, new = world.authority, make_key("EdDSA")
    only_new = authority.root_document(2, [new])
    only_old = authority.root_document(2, [authority.root_key], listed=[new])
    for document in (only_new, only_old):
        with pytest.raises(Refused) as caught:
            world.trust.advance_root(document)
        assert caught.value.reason is Reason.ROOT_NOT_TRUSTED
    world.trust.advance_root(authority.root_document(2, [authority.root_key, new], listed=[new]))


def test_signatures_of_one_key_count_once() -> None:
    authority = ThrowawayAuthority(1_800_000_000)
    first, second = make_key("EdDSA"), make_key("EdDSA")
    document = authority.root_document(1, [first, first], listed=[first, second], threshold=2)
    with pytest.raises(Misconfigured, match="1 of 2"):
        Trust.fed(root=document)
    assert Trust.fed(root=authority.root_document(1, [first, second], threshold=2))


def test_a_pinned_root_must_be_a_root() -> None:
    authority = ThrowawayAuthority(1_800_000_000)
    good = json.loads(authority.roots[0])
    other = make_key("EdDSA")
    payload = decode_base64url(good["payload"])
    for bad in (
        b"",
        b"{}",
        b"[]",
        compact_json(good | {"extra": 1}),
        compact_json(good | {"signatures": []}),
        compact_json(good | {"signatures": good["signatures"] * 17}),
        general_jws(payload, [other]),
        general_jws(payload.replace(b'"version":1', b'"version":0'), [authority.root_key]),
        general_jws(payload.replace(b'"threshold":1', b'"threshold":0', 1), [authority.root_key]),
        general_jws(payload.replace(b'"threshold":1', b'"threshold":2', 1), [authority.root_key]),
    ):
        with pytest.raises(Misconfigured):
            Trust.fed(root=bad)
    assert Trust.fed(root=good)


def test_every_single_changed_character_of_the_served_documents_is_refused(world: World) -> None:
    world.authority.version += 1
    served = world.authority.served().decode()
    members = json.loads(served)
    for name in ("admission", "manifest"):
        text = members[name]
        for position in range(0, len(text), 7):
            changed = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
            with pytest.raises(Refused):
                world.trust.feed(compact_json(members | {name: changed}))
    world.trust.feed(served.encode())


def test_a_state_file_makes_a_rollback_over_a_restart_visible(tmp_path: Path) -> None:
    clock, authority = FixedClock(1_800_000_000), ThrowawayAuthority(1_800_000_000)
    key = authority.make_key()
    old = authority.served()
    pin, state_file = authority.roots[0], tmp_path / "seen.json"
    first = TrustState(pin, clock=clock, skew=5, state_file=state_file)
    first.advance_root(authority.rotate_root())
    authority.retire(key)
    first.feed(authority.publish())
    again = TrustState(pin, clock=clock, skew=5, state_file=state_file)
    assert again.held is None, "no key may come from the state file"
    assert again.root.version == 2
    with pytest.raises(Refused):
        again.feed(old)
    authority.keys.append(key)
    authority.tombstones.clear()
    with pytest.raises(Refused, match="buried"):
        again.feed(authority.publish())
    authority.keys.clear()
    again.feed(authority.served())
    for damage in (b"", b"{}", state_file.read_bytes()[:-20]):
        state_file.write_bytes(damage)
        with pytest.raises(Misconfigured, match=r"seen\.json"):
            TrustState(pin, clock=clock, skew=5, state_file=state_file)


def test_a_manifest_of_the_same_version_is_taken_in_again_after_a_restart(tmp_path: Path) -> None:
    clock, authority = FixedClock(1_800_000_000), ThrowawayAuthority(1_800_000_000)
    authority.make_key(window=(0, HOUR, 2 * HOUR))
    for _ in range(2):
        state = TrustState(authority.roots[0], clock=clock, skew=5, state_file=tmp_path / "seen.json")
        assert state.feed(authority.served()).keys
