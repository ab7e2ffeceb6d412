"""The signer signs no manifest that a front end that was taken over could gain by."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from sealwright_signer import jws
from sealwright_signer.identity import Identity
from sealwright_signer.protocol import Code

DAY = 86_400


def admission(by: Identity, of: Identity, now: float, **changed: Any) -> str:
    payload = {"incarnation": of.log_id, "origin": f"127.0.0.1:8420/ledger/{of.log_id}", "jwk": of.jwk}
    payload |= {"evidence": "none", "result": "00" * 32, "policy": "00" * 32}
    return by.document(
        "sealwright-admission+jwt",
        payload | {"admitted_at": int(now), "expires_at": int(now) + DAY} | changed,
    )


class Scene:
    """A signer with an active key, admitted, and another admitted incarnation with a key of its own."""

    def __init__(self, rig: Any, admission_key: Identity) -> None:
        self.rig, self.admission_key, self.other, self.stranger = rig, admission_key, Identity(), Identity()
        self.kid = rig.key()
        self.own_admission = admission(admission_key, rig.signer.identity, rig.now[0])
        self.other_admission = admission(admission_key, self.other, rig.now[0])
        self.version = 10

    def own(self, **changed: Any) -> dict[str, Any]:
        (key,) = [k for k in self.rig.signer.keyring.listed() if kid_of(k["announcement"]) == self.kid]
        listed = {"announcement": key["announcement"], "admission": self.own_admission}
        return listed | {"status": "active", "ledger_index": key["ledger_index"]} | changed

    def foreign(
        self, by: Identity | None = None, listed: dict[str, Any] | None = None, **changed: Any
    ) -> dict[str, Any]:
        """A key of the other incarnation, its announcement changed as asked."""
        now, key = int(self.rig.now[0]), Identity()
        jwk = {**key.jwk, "alg": "EdDSA", "kid": key.kid, "use": "sig"}
        announced: dict[str, Any] = {
            "kid": key.kid,
            "jwk": jwk,
            "realm": "enterprise",
            "issuer": "https://id.example/enterprise",
        }
        announced |= {"audiences": ["https://mail.example"], "token_types": ["at+jwt"], "alg": "EdDSA"}
        announced |= {"max_lifetime": 3_600, "use_from": now - 10, "use_until": now + 3_600}
        announced |= {"verify_until": now + 7_200, "incarnation": self.other.log_id}
        document = (by or self.other).document("sealwright-key+jwt", announced | changed)
        entry = {
            "announcement": document,
            "admission": self.other_admission,
            "status": "active",
            "ledger_index": 3,
        }
        return entry | (listed or {})

    def asked(self, **changed: Any) -> dict[str, Any]:
        self.version += 1
        fields: dict[str, Any] = {"version": self.version, "life": 60, "keys": [self.own(), self.foreign()]}
        fields |= {"revocations": [], "tombstones": [], "strict_realms": ["enterprise"]}
        return fields | {"admissions": [self.own_admission, self.other_admission]} | changed

    def signed(self, **changed: Any) -> dict[str, Any]:
        document = self.rig.do("manifest", **self.asked(**changed))["manifest"]
        keys = dict([jws.identity_key(self.rig.signer.identity.jwk)])
        payload: dict[str, Any] = jws.require_document(
            document, "sealwright-manifest+jwt", keys, Code.not_admitted
        )
        leaf = json.loads(self.rig.leaves[-1][2:])
        assert (leaf["type"], leaf["digest"]) == ("manifest", hashlib.sha256(document.encode()).hexdigest())
        return payload

    def refused(self, **changed: Any) -> str:
        code: str = self.rig.refused("manifest", **self.asked(**changed))
        return code


def kid_of(announcement: str) -> str:
    kid: str = json.loads(jws.unb64u(announcement.split(".")[1]))["kid"]
    return kid


def revocation(kid: str, now: float, before: int | None) -> dict[str, Any]:
    return {"kid": kid, "at": int(now), "reason": "key_compromise", "issued_before": before}


def tombstone(kid: str, now: float) -> dict[str, Any]:
    return {"kid": kid, "at": int(now), "reason": "revoked", "jwk": None}


@pytest.fixture
def scene(rig: Any, admission_key: Identity) -> Scene:
    return Scene(rig, admission_key)


def test_a_manifest_lists_what_was_announced_and_nothing_else(scene: Scene) -> None:
    foreign = scene.foreign()
    payload = scene.signed(keys=[scene.own(), foreign])
    now = int(scene.rig.now[0])
    assert (payload["version"], payload["issued_at"], payload["expires_at"]) == (11, now, now + 60)
    assert payload["authority"] == "http://127.0.0.1:8420"
    for listed, entry in zip(payload["keys"], (scene.own(), foreign), strict=True):
        announced = json.loads(jws.unb64u(entry["announcement"].split(".")[1]))
        assert listed == announced | {
            "status": "active",
            "evidence": "none",
            "ledger_index": entry["ledger_index"],
        }
    assert [i["id"] for i in payload["incarnations"]] == [
        scene.rig.signer.identity.log_id,
        scene.other.log_id,
    ]
    assert payload["incarnations"][0].keys() == {"id", "link", "origin", "jwk", "evidence"}
    for listed in payload["incarnations"]:
        assert listed["link"] == f"http://127.0.0.1:8420/admissions/{listed['id']}"
    assert payload["strict_realms"] == ["enterprise"]


def admitted(scene: Scene, **changed: Any) -> str:
    """Refusal of a manifest whose second admission was changed."""
    forged = admission(scene.admission_key, scene.other, scene.rig.now[0], **changed)
    key = scene.foreign(listed={"admission": forged})
    return scene.refused(keys=[scene.own(), key], admissions=[scene.own_admission, forged])


def forged_by(scene: Scene, by: Identity, of: Identity) -> str:
    forged = admission(by, of, scene.rig.now[0])
    key = scene.foreign(by=of, listed={"admission": forged}, incarnation=of.log_id)
    return scene.refused(keys=[key], admissions=[forged])


def windows(scene: Scene, **changed: Any) -> str:
    return scene.refused(keys=[scene.foreign(**changed)])


def listed(scene: Scene, **changed: Any) -> str:
    return scene.refused(keys=[scene.own(**changed)])


ATTACKS: dict[str, tuple[str, Callable[[Scene], str]]] = {
    "key_of_a_stranger": ("not_admitted", lambda s: s.refused(keys=[s.foreign(by=s.stranger)])),
    "admission_by_the_signer_itself": (
        "not_admitted",
        lambda s: forged_by(s, s.rig.signer.identity, s.stranger),
    ),
    "admission_by_the_stranger": ("not_admitted", lambda s: forged_by(s, s.stranger, s.stranger)),
    "admission_of_another_type": (
        "not_admitted",
        lambda s: s.refused(admissions=[s.admission_key.document("sealwright-root+jwt", {})], keys=[]),
    ),
    "admission_not_in_the_list": ("not_admitted", lambda s: s.refused(admissions=[s.own_admission])),
    "admission_expired": ("not_admitted", lambda s: admitted(s, expires_at=int(s.rig.now[0]))),
    "admission_from_the_future": ("not_admitted", lambda s: admitted(s, admitted_at=int(s.rig.now[0]) + 61)),
    "admission_of_another_log": ("not_admitted", lambda s: admitted(s, incarnation="a" * 16)),
    "admission_of_unknown_level": ("not_admitted", lambda s: admitted(s, evidence="tpm")),
    "admission_with_more": ("bad_request", lambda s: admitted(s, extra=1)),
    "admission_without_key": ("bad_request", lambda s: admitted(s, jwk={})),
    "announcement_of_another_incarnation": ("not_admitted", lambda s: windows(s, incarnation="a" * 16)),
    "kid_of_another_key": ("not_admitted", lambda s: windows(s, kid="A" * 43)),
    "key_without_jwk": ("not_admitted", lambda s: windows(s, jwk={})),
    "key_with_strange_jwk": ("not_admitted", lambda s: windows(s, jwk={"kty": ["EC"]})),
    "announcement_with_more": ("bad_request", lambda s: windows(s, extra=1)),
    "announcement_that_is_none": ("bad_request", lambda s: s.refused(keys=[s.own(announcement="x")])),
    "realm_unknown": ("unknown_realm", lambda s: windows(s, realm="government")),
    "realm_of_another_issuer": ("unknown_realm", lambda s: windows(s, issuer="https://id.example/consumer")),
    "tokens_that_live_too_long": ("lifetime_not_allowed", lambda s: windows(s, max_lifetime=3_601)),
    "use_too_long": (
        "window_not_allowed",
        lambda s: windows(
            s, use_until=int(s.rig.now[0]) + 14 * DAY, verify_until=int(s.rig.now[0]) + 15 * DAY
        ),
    ),
    "use_backwards": ("window_not_allowed", lambda s: windows(s, use_until=int(s.rig.now[0]) - 10)),
    "published_too_long": (
        "window_not_allowed",
        lambda s: windows(s, verify_until=int(s.rig.now[0]) + 15 * DAY),
    ),
    "published_too_short": (
        "window_not_allowed",
        lambda s: windows(s, verify_until=int(s.rig.now[0]) + 3_599),
    ),
    "own_window_widened": (
        "not_admitted",
        lambda s: s.refused(keys=[s.own(announcement=s.own()["announcement"][:-9] + "AAAAAAAAA")]),
    ),
    "own_key_that_was_never_made": (
        "unknown_key",
        lambda s: s.refused(
            keys=[
                s.foreign(
                    by=s.rig.signer.identity,
                    listed={"admission": s.own_admission},
                    incarnation=s.rig.signer.identity.log_id,
                )
            ]
        ),
    ),
    "own_key_at_another_place": ("unknown_key", lambda s: listed(s, ledger_index=0)),
    "status_unknown": ("status_not_allowed", lambda s: listed(s, status="trusted")),
    "key_twice": ("bad_request", lambda s: s.refused(keys=[s.own(), s.own()])),
    "admission_twice": ("bad_request", lambda s: s.refused(admissions=[s.own_admission] * 2)),
    "incarnation_twice": (
        "bad_request",
        lambda s: s.refused(
            keys=[],
            admissions=[
                s.own_admission,
                admission(s.admission_key, s.rig.signer.identity, 2e9, evidence="hardware"),
            ],
        ),
    ),
    "key_entry_with_more": ("bad_request", lambda s: listed(s, evidence="hardware")),
    "index_that_is_no_number": ("bad_request", lambda s: listed(s, ledger_index=True)),
    "tombstoned_and_listed": ("status_not_allowed", lambda s: s.refused(tombstones=[tombstone(s.kid, 2e9)])),
    "revoked_and_active": (
        "status_not_allowed",
        lambda s: s.refused(revocations=[revocation(s.kid, 2e9, 2_000_000_000)]),
    ),
    "revoked_without_tombstone": (
        "status_not_allowed",
        lambda s: s.refused(keys=[], revocations=[revocation(s.kid, 2e9, None)]),
    ),
    "revoked_before_a_later_time": (
        "bad_request",
        lambda s: s.refused(revocations=[revocation(s.kid, 2e9, 2_000_000_001)]),
    ),
    "revoked_before_no_time": (
        "bad_request",
        lambda s: s.refused(revocations=[revocation(s.kid, 2e9, None) | {"issued_before": True}]),
    ),
    "tombstone_with_another_key": (
        "bad_request",
        lambda s: s.refused(tombstones=[tombstone(s.other.kid[:-1] + "x", 2e9) | {"jwk": s.other.jwk}]),
    ),
    "tombstone_with_no_key_at_all": (
        "bad_request",
        lambda s: s.refused(tombstones=[tombstone("x", 2e9) | {"jwk": []}]),
    ),
    "tombstone_with_more": ("bad_request", lambda s: s.refused(tombstones=[tombstone("x", 2e9) | {"y": 1}])),
    "strict_realm_unknown": ("unknown_realm", lambda s: s.refused(strict_realms=["government"])),
    "version_repeated": ("version_not_newer", lambda s: (s.signed(), s.refused(version=s.version))[1]),
    "life_too_long": ("lifetime_not_allowed", lambda s: s.refused(life=61)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_on_the_manifest(scene: Scene, name: str) -> None:
    code, attack = ATTACKS[name]
    assert attack(scene) == code
    scene.signed()  # a refusal leaves nothing behind


def test_no_status_is_listed_before_it_is_true(scene: Scene) -> None:
    scene.kid = scene.rig.key(active=False)
    assert scene.refused() == "status_not_allowed"
    assert scene.signed(keys=[scene.own(status="staged")])["keys"][0]["status"] == "staged"
    scene.rig.now[0] += 1_800
    assert scene.refused(keys=[scene.own()]) == "status_not_allowed"
    scene.rig.do("activate", kid=scene.kid)
    assert scene.signed(keys=[scene.own()])["keys"][0]["status"] == "active"


def test_no_status_goes_back(scene: Scene) -> None:
    foreign = scene.foreign()
    scene.signed(keys=[foreign])
    assert scene.refused(keys=[foreign | {"status": "staged"}]) == "status_not_allowed"
    scene.signed(keys=[])  # not even when the key was away meanwhile
    scene.signed(keys=[foreign | {"status": "verify-only"}])
    scene.signed(keys=[])
    assert scene.refused(keys=[foreign]) == "status_not_allowed"


def test_a_destroyed_key_is_listed_as_verify_only_or_not_at_all(scene: Scene) -> None:
    scene.rig.do("destroy", kid=scene.kid, reason="test")
    assert scene.refused() == "status_not_allowed"
    assert scene.signed(keys=[scene.own(status="verify-only")])["keys"][0]["status"] == "verify-only"


def test_a_key_is_not_listed_as_signing_after_its_window_nor_at_all_after_its_publication(
    scene: Scene,
) -> None:
    foreign = scene.foreign()
    scene.rig.now[0] += 3_600
    assert scene.refused(keys=[foreign]) == "status_not_allowed"
    scene.signed(keys=[foreign | {"status": "verify-only"}])
    scene.rig.now[0] += 3_600
    assert scene.refused(keys=[foreign | {"status": "verify-only"}]) == "key_outside_window"


def test_a_key_of_another_is_not_active_before_its_window(scene: Scene) -> None:
    early = scene.foreign(use_from=int(scene.rig.now[0]) + 10)
    assert scene.refused(keys=[early]) == "status_not_allowed"
    scene.signed(keys=[early | {"status": "staged"}])


def test_a_tombstoned_key_never_comes_back(scene: Scene) -> None:
    foreign = scene.foreign()
    stone = tombstone(kid_of(foreign["announcement"]), scene.rig.now[0])
    scene.signed(keys=[], tombstones=[stone])
    assert scene.refused(keys=[foreign]) == "status_not_allowed"
    assert scene.refused(keys=[foreign], tombstones=[stone]) == "status_not_allowed"


def test_a_tombstone_carries_its_key_or_none(scene: Scene) -> None:
    now, jwk = int(scene.rig.now[0]), scene.other.jwk
    with_key = tombstone(scene.other.kid, now) | {"jwk": jwk}
    (bare, full) = scene.signed(keys=[], tombstones=[tombstone("x", now), with_key])["tombstones"]
    assert (bare, full) == ({"kid": "x", "at": now, "reason": "revoked"}, with_key)


def test_a_revocation_never_vanishes_and_is_never_weakened(scene: Scene) -> None:
    now, foreign = int(scene.rig.now[0]), scene.foreign(listed={"status": "verify-only"})
    kid = kid_of(foreign["announcement"])
    scene.signed(keys=[foreign], revocations=[revocation(kid, now, now - 100)])
    assert scene.refused(keys=[foreign]) == "status_not_allowed"
    assert scene.refused(keys=[], revocations=[]) == "status_not_allowed"
    assert scene.refused(keys=[foreign], revocations=[revocation(kid, now, now - 99)]) == "status_not_allowed"
    scene.signed(keys=[foreign], revocations=[revocation(kid, now, now - 200)])
    scene.signed(keys=[], revocations=[revocation(kid, now, None)], tombstones=[tombstone(kid, now)])
    assert scene.refused(keys=[], revocations=[revocation(kid, now, now - 300)]) == "status_not_allowed"
    scene.signed(keys=[], tombstones=[tombstone(kid, now)])


def test_versions_start_above_the_floor_and_only_rise(scene: Scene) -> None:
    assert scene.refused(version=10) == "version_not_newer"
    assert scene.signed(version=11)["version"] == 11
    assert scene.signed(version=2_000)["version"] == 2_000
    assert scene.refused(version=1_999) == "version_not_newer"
