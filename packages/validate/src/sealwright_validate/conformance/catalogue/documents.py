"""Trust documents with a flaw: manifests, admissions and roots that are signed and still must be refused.

May never make a document that depends on anything but the scene.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sealwright_validate.conformance.authority import DAY, document_header, general_jws
from sealwright_validate.conformance.keys import compact_json, jws, make_key
from sealwright_validate.conformance.scene import Scene
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.errors import Reason

Members = dict[str, Any]
Spoil = Callable[[Members], Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A served manifest (or, of `kind` root, a root that claims to be the next version) and why it is
    refused.
    """

    name: str
    kind: str
    how: str
    document: bytes
    reason: Reason


def documents(scene: Scene) -> Iterator[Document]:
    """Every flawed document. The manifest at hand is of version 1, the root too."""
    yield from _manifests(scene)
    yield from _served(scene)
    yield from _roots(scene)


def _manifests(scene: Scene) -> Iterator[Document]:
    for name, (how, spoil, reason) in _flaws(scene.now).items():
        members = json.loads(compact_json(scene.authority.manifest_members()))
        members["version"] = 2
        spoil(members)
        yield Document(f"manifest_{name}", "manifest", how, scene.authority.served(members), reason)


def _change_key(**changed: Any) -> Spoil:
    return lambda members: members["keys"][0].update(changed)


def _twice(members: Members) -> None:
    members["keys"].append(dict(members["keys"][0]))


def _second_realm(members: Members) -> None:
    other = make_key("ES256")
    members["keys"].append(
        members["keys"][0] | {"kid": other.kid, "jwk": dict(other.jwk), "realm": "consumer"}
    )


def _buried(members: Members) -> None:
    members["tombstones"].append({"kid": members["keys"][0]["kid"], "at": 0, "reason": "retired"})


def _bury(jwk: dict[str, str]) -> Spoil:
    def spoil(members: Members) -> None:
        members["tombstones"].append({"kid": "x" * 43, "at": 0, "reason": "retired", "jwk": jwk})

    return spoil


def _back_from_the_grave(members: Members) -> None:
    members["keys"][0]["kid"] = members["tombstones"][0]["kid"]


def _revoked_and_published(members: Members) -> None:
    kid = members["keys"][0]["kid"]
    members["revocations"].append({"kid": kid, "at": 0, "reason": "key_compromise", "issued_before": None})


def _other_log_id(members: Members) -> None:
    members["incarnations"][0]["id"] = "a" * 16


def _link(link: object) -> Spoil:
    return lambda members: members["incarnations"][0].update(link=link)


def _private_key(members: Members) -> None:
    members["keys"][0]["jwk"]["d"] = "AAAA"


def _flaws(now: int) -> dict[str, tuple[str, Spoil, Reason]]:
    inconsistent, malformed = Reason.MANIFEST_INCONSISTENT, Reason.MANIFEST_MALFORMED
    return {
        "kid_twice": ("a key listed twice", _twice, inconsistent),
        "issuer_in_two_realms": ("one issuer in two realms", _second_realm, inconsistent),
        "key_and_tombstone": ("a key that is also buried", _buried, inconsistent),
        "tombstone_of_other_key": (
            "a tombstone with a key that its id does not name",
            _bury(dict(make_key("ES256").jwk)),
            inconsistent,
        ),
        "tombstone_with_secret_key": (
            "a tombstone with a symmetric key",
            _bury({"kty": "oct", "k": "AAAA"}),
            malformed,
        ),
        "kid_of_buried_key": ("a key under the id of a buried one", _back_from_the_grave, inconsistent),
        "revoked_but_published": (
            "a key revoked outright and still listed",
            _revoked_and_published,
            inconsistent,
        ),
        "kid_not_thumbprint": ("a key id that is no thumbprint", _change_key(kid="x" * 43), inconsistent),
        "alg_not_of_jwk": ("another algorithm than the JWK's", _change_key(alg="RS256"), inconsistent),
        "other_key_of_kid": ("another key", _change_key(jwk=dict(make_key("ES256").jwk)), inconsistent),
        "window_reversed": (
            "a window that ends before it begins",
            _change_key(use_from=now + 10**6),
            inconsistent,
        ),
        "verify_before_use_ends": (
            "unpublished before it stops",
            _change_key(verify_until=now),
            inconsistent,
        ),
        "lifetime_beyond_ceiling": ("tokens of over an hour", _change_key(max_lifetime=3601), inconsistent),
        "no_lifetime": ("tokens of no time", _change_key(max_lifetime=0), inconsistent),
        "no_audiences": ("no audiences", _change_key(audiences=[]), inconsistent),
        "no_token_types": ("no token types", _change_key(token_types=[]), inconsistent),
        "widened_audience": ("an audience added later", _change_key(audiences=["https://all"]), inconsistent),
        "moved_to_other_realm": ("a key moved to another realm", _change_key(realm="consumer"), inconsistent),
        "window_prolonged": ("a window made longer", _change_key(use_until=now + 20_000), inconsistent),
        "status_goes_back": ("an active key staged again", _change_key(status="staged"), inconsistent),
        "evidence_raised": (
            "evidence above its incarnation's",
            _change_key(evidence="hardware"),
            inconsistent,
        ),
        "unknown_incarnation": ("a key of nobody", _change_key(incarnation="a" * 16), inconsistent),
        "log_id_not_of_key": ("a log id that is not its key's", _other_log_id, inconsistent),
        "signer_not_listed": (
            "the signer itself missing",
            lambda it: it.update(incarnations=[]),
            inconsistent,
        ),
        "lives_too_long": ("a life of over 600 s", lambda it: it.update(expires_at=now + 601), inconsistent),
        "stale": (
            "a manifest whose time is over",
            lambda it: it.update(expires_at=now),
            Reason.MANIFEST_STALE,
        ),
        "from_the_future": ("issued ahead", lambda it: it.update(issued_at=now + 6), Reason.MANIFEST_STALE),
        "rolled_back": ("version 0", lambda it: it.update(version=0), Reason.MANIFEST_ROLLED_BACK),
        "two_of_a_version": (
            "another of version 1",
            lambda it: it.update(version=1, authority="x"),
            Reason.MANIFEST_ROLLED_BACK,
        ),
        "link_no_text": ("a link that is no text", _link(1), malformed),
        "link_no_address": ("a link that a browser would run", _link("javascript:alert(1)"), malformed),
        "private_key_published": ("a private member in a JWK", _private_key, malformed),
        "unknown_status": ("a status that is none", _change_key(status="resting"), malformed),
        "unknown_evidence": ("an evidence level that is none", _change_key(evidence="trust me"), malformed),
        "no_issuer": ("an empty issuer", _change_key(issuer=""), malformed),
        "window_no_number": ("a time as text", _change_key(use_from="0"), malformed),
        "window_fraction": ("a time with a fraction", _change_key(use_from=1.5), malformed),
        "version_true": ("version true", lambda it: it.update(version=True), malformed),
        "no_keys_member": ("no keys member", lambda it: it.pop("keys"), malformed),
        "no_revocations_member": ("no revocations member", lambda it: it.pop("revocations"), malformed),
        "no_tombstones_member": ("no tombstones member", lambda it: it.pop("tombstones"), malformed),
    }


def _served(scene: Scene) -> Iterator[Document]:
    authority, stranger = scene.authority, make_key("EdDSA")
    served = json.loads(authority.served(authority.manifest_members() | {"version": 2}))
    bare = {name: stranger.jwk[name] for name in ("kty", "crv", "x")}
    claimed = {
        "incarnation": "a" * 16,
        "origin": "x",
        "jwk": bare,
        "evidence": "hardware",
        "admitted_at": 0,
        "expires_at": scene.now + DAY,
    }
    self_admitted = jws(stranger, document_header(stranger, "admission"), claimed)
    forged = jws(
        stranger, document_header(stranger, "manifest"), authority.manifest_members() | {"version": 2}
    )
    expired = authority.admission(expires_at=scene.now)
    untrusted, admission = Reason.MANIFEST_NOT_TRUSTED, Reason.ADMISSION_NOT_TRUSTED
    for name, how, changed, reason in (
        ("manifest_of_stranger", "signed by a key that nobody admitted", {"manifest": forged}, untrusted),
        ("manifest_of_self_admitted", "a stranger admits itself", {"admission": self_admitted}, admission),
        ("manifest_is_admission", "the admission in its place", {"manifest": served["admission"]}, untrusted),
        ("admission_is_manifest", "the manifest in its place", {"admission": served["manifest"]}, admission),
        ("admission_expired", "an admission whose time is over", {"admission": expired}, admission),
        ("admission_missing", "no admission", {"admission": None}, admission),
        ("root_version_other", "built on another root", {"root_version": 7}, Reason.ROOT_NOT_TRUSTED),
        ("root_version_text", "the root version as text", {"root_version": "1"}, Reason.MANIFEST_MALFORMED),
    ):
        yield Document(name, "manifest", how, compact_json(served | changed), reason)


def _roots(scene: Scene) -> Iterator[Document]:
    authority, new = scene.authority, make_key("EdDSA")
    old = authority.root_key
    payload = decode_base64url(json.loads(authority.root_document(2, [old]))["payload"])
    for name, how, document in (
        ("root_by_new_key_only", "signed by its own key alone", authority.root_document(2, [new])),
        (
            "root_by_old_key_only",
            "signed by the old key alone",
            authority.root_document(2, [old], listed=[new]),
        ),
        ("root_skips_version", "version 3 after 1", authority.root_document(3, [old, new], listed=[new])),
        ("root_same_version", "version 1 again", authority.root_document(1, [old, new], listed=[new])),
        (
            "root_one_key_twice",
            "one key signs twice for two",
            authority.root_document(2, [old, old], threshold=2),
        ),
        (
            "root_threshold_zero",
            "a threshold of 0",
            _spoilt(payload, b'"threshold":1', b'"threshold":0', scene),
        ),
        (
            "root_threshold_unreachable",
            "two of one",
            _spoilt(payload, b'"threshold":1', b'"threshold":2', scene),
        ),
        ("root_no_signature", "no signature", _unsigned(payload)),
    ):
        yield Document(name, "root", how, document, Reason.ROOT_NOT_TRUSTED)


def _spoilt(payload: bytes, old: bytes, new: bytes, scene: Scene) -> bytes:
    return general_jws(payload.replace(old, new, 1), [scene.authority.root_key])


def _unsigned(payload: bytes) -> bytes:
    return general_jws(payload, [])
