"""Every refusal code, and every way to it; a refusal appends nothing."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sealwright_signer import journal, keyring
from sealwright_signer.protocol import Code, Refused, decode
from sealwright_signer.signer import MAX_BATCH

Provoke = Callable[[Any], str]


def sign_refused(rig: Any, **changed: Any) -> str:
    """The code of the one refusal, beside a token that is still signed."""
    key = rig.key()
    fields = {"kid": key} | changed
    size = rig.signer.journal.size
    refusal, token = rig.sign(rig.request(**fields), rig.request(key))
    assert isinstance(token, str)
    assert rig.signer.journal.size == size + 1
    assert set(refusal) == {"refused", "message"}
    code: str = refusal["refused"]
    return code


def make(rig: Any, **changed: Any) -> str:
    now = int(rig.now[0])
    fields = {"realm": "enterprise", "alg": "ES256", "use_from": now, "use_until": now + 3_600}
    code: str = rig.refused("make_key", **fields | {"verify_until": now + 7_200} | changed)
    return code


def staged(rig: Any, seconds: int) -> str:
    """A key that was staged, `seconds` after that."""
    rig.key()
    kid: str = rig.key(active=False)
    rig.now[0] += seconds
    return kid


def manifest(rig: Any, **changed: Any) -> str:
    fields = {"version": 11, "life": 60, "keys": [], "revocations": [], "tombstones": [], "strict_realms": []}
    code: str = rig.refused("manifest", **fields | {"admissions": []} | changed)
    return code


def full(rig: Any) -> str:
    rig.signer.journal.append([b""] * (journal.MAX_PENDING - rig.signer.journal.size))
    code: str = rig.refused("statement", type="audit", digest="00" * 32)
    return code


NOT_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://else.example"},
    {"exp": 4_000_000_000},
    {"roles": ["admin"]},
    {"auth_time": True},
    {"auth_time": -1},
    {"auth_time": "1"},
    {"acr": ""},
    {"acr": 1},
    {"amr": []},
    {"amr": "pwd"},
    {"amr": [1]},
    {"amr": ["x"] * 17},
    {"cnf": {}},
    {"cnf": {"jwk": "x"}},
    {"cnf": {"jkt": "x", "x5t#S256": "y"}},
    {"cnf": {"jkt": 1}},
    {"parent": None},
    {"parent": "x" * 1_025},
    {"act": {"sub": "x", "iss": "y"}},
    {"act": {"sub": {"sub": "x"}}},
]
CASES: dict[str, list[Provoke]] = {
    "unknown_realm": [
        lambda rig: sign_refused(rig, realm="government"),
        lambda rig: make(rig, realm="government"),
        lambda rig: manifest(rig, strict_realms=["government"]),
    ],
    "unknown_key": [
        lambda rig: sign_refused(rig, kid="A" * 43),
        lambda rig: rig.refused("activate", kid="A" * 43),
        lambda rig: rig.refused("destroy", kid="A" * 43, reason="x"),
    ],
    "key_of_other_realm": [
        lambda rig: sign_refused(rig, realm="consumer", aud=["https://shop.example"]),
        lambda rig: sign_refused(rig, kid=rig.key("consumer")),
    ],
    "key_not_active": [
        lambda rig: sign_refused(rig, kid=staged(rig, 1_800)),
        lambda rig: rig.refused("activate", kid=rig.key()),
    ],
    "key_outside_window": [
        lambda rig: rig.sign(rig.request(staged(rig, 0)))[0]["refused"],
        lambda rig: rig.refused("activate", kid=staged(rig, 1_799)),
        lambda rig: rig.refused("activate", kid=staged(rig, 1_800 + 3_600)),
    ],
    "algorithm_not_allowed": [
        lambda rig: make(rig, alg="HS256"),
        lambda rig: make(rig, alg="none"),
        lambda rig: make(rig, realm="consumer", alg="RS256"),
    ],
    "audience_not_allowed": [
        lambda rig: sign_refused(rig, aud=["https://shop.example"]),
        lambda rig: sign_refused(rig, aud=["https://mail.example", "https://shop.example"]),
        lambda rig: sign_refused(rig, aud=["https://mail.example/"]),
        lambda rig: sign_refused(rig, aud=[]),
    ],
    "type_not_allowed": [
        lambda rig: sign_refused(rig, typ="JWT"),
        lambda rig: sign_refused(rig, typ="sealwright-manifest+jwt"),
        lambda rig: rig.refused("statement", type="manifest", digest="00" * 32),
        lambda rig: rig.refused("statement", type="incarnation", digest="00" * 32),
    ],
    "lifetime_not_allowed": [
        lambda rig: sign_refused(rig, ttl=3_601),
        lambda rig: sign_refused(rig, ttl=0),
        lambda rig: sign_refused(rig, ttl=-1),
        lambda rig: manifest(rig, life=61),
        lambda rig: manifest(rig, life=0),
    ],
    "claim_not_allowed": [partial(sign_refused, extra=extra) for extra in NOT_CLAIMS],
    "window_not_allowed": [
        lambda rig: make(rig, use_from=int(rig.now[0]) - 6),
        lambda rig: (rig.key(), make(rig, use_from=int(rig.now[0]) + 1_799))[1],
        lambda rig: (rig.key(active=False), make(rig))[1],
        lambda rig: make(rig, use_from=int(rig.now[0]) + 14 * 86_400 + 1),
        lambda rig: make(rig, use_until=int(rig.now[0])),
        lambda rig: make(rig, use_until=int(rig.now[0]) + 21_601, verify_until=int(rig.now[0]) + 40_000),
        lambda rig: make(rig, verify_until=int(rig.now[0]) + 7_199),
        lambda rig: make(rig, verify_until=int(rig.now[0]) + 3_600 + 14 * 86_400 + 1),
    ],
    "version_not_newer": [lambda rig: manifest(rig, version=10), lambda rig: manifest(rig, version=0)],
    "too_many_pending": [full],
}
MALFORMED: list[dict[str, Any]] = [
    {"realm": 1},
    {"kid": None},
    {"typ": ["at+jwt"]},
    {"client_id": ""},
    {"client_id": "x" * 1_025},
    {"sub": ""},
    {"aud": "https://mail.example"},
    {"aud": ["https://mail.example", "https://mail.example"]},
    {"aud": [["https://mail.example"]]},
    {"aud": [1, 2]},
    {"scope": None},
    {"scope": "x" * 4_097},
    {"ttl": True},
    {"ttl": 300.0},
    {"ttl": "300"},
    {"record": "ab" * 31},
    {"record": "zz" * 32},
    {"record": "ab " * 21 + "a"},
    {"record": "\u0661" * 64},
    {"extra": []},
    {"extra": 0},
]


@pytest.mark.parametrize(
    ("code", "number"), [(code, n) for code, cases in CASES.items() for n in range(len(cases))]
)
def test_refusal(rig: Any, code: str, number: int) -> None:
    assert CASES[code][number](rig) == code


@pytest.mark.parametrize(
    "changed", MALFORMED, ids=lambda c: f"{next(iter(c))}={str(next(iter(c.values())))[:12]}"
)
def test_a_request_of_another_form_is_a_bad_request(rig: Any, changed: dict[str, Any]) -> None:
    assert sign_refused(rig, **changed) == "bad_request"


@pytest.mark.parametrize("request_", [None, "0123456789", {}, [], [""] * 9, [""] * 11])
def test_a_request_that_is_none_is_a_bad_request(rig: Any, request_: Any) -> None:
    assert rig.sign(request_)[0]["refused"] == "bad_request"


def test_codes_that_only_other_tests_provoke_are_known() -> None:
    elsewhere = {"bad_request", "not_authority", "not_admitted", "status_not_allowed", "custody_unavailable"}
    assert CASES.keys() | elsewhere == {code.value for code in Code}


BAD: list[tuple[str, dict[str, Any]]] = [
    ("hello", {"protocol": 2, "role": "authority"}),
    ("hello", {"protocol": 1, "role": "root"}),
    ("hello", {"protocol": True, "role": "authority"}),
    ("hello", {"protocol": 1}),
    ("hello", {"protocol": 1, "role": "authority", "also": 1}),
    ("evidence", {"nonce": "00" * 15}),
    ("evidence", {"nonce": "00" * 65}),
    ("evidence", {"nonce": "0" * 33}),
    ("evidence", {"nonce": "AB" * 16}),
    ("statement", {"type": "audit", "digest": "00" * 31}),
    ("statement", {"type": "audit", "digest": "AB" * 32}),
    ("statement", {"type": "audit", "digest": "00" * 32 + "\n"}),
    ("ack", {"size": 2}),
    ("ack", {"size": -1}),
    ("ack", {"size": 2**53}),
    ("sign", {"requests": []}),
    ("sign", {"requests": [None] * (MAX_BATCH + 1)}),
    ("sign", {"requests": {}}),
    ("make_key", {"realm": "enterprise", "alg": "ES256", "use_from": 1.5, "use_until": 2, "verify_until": 3}),
]


@pytest.mark.parametrize(("op", "members"), BAD)
def test_an_operation_of_another_form_is_a_bad_request(rig: Any, op: str, members: dict[str, Any]) -> None:
    assert rig.refused(op, **members) == "bad_request"


@pytest.mark.parametrize("reason", ["", "x" * 201, "line\nbreak"])
def test_a_reason_that_cannot_stand_in_the_ledger_is_refused(rig: Any, reason: str) -> None:
    assert rig.refused("destroy", kid=rig.key(), reason=reason) == "bad_request"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff",
        b"{",
        b"[1]]",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b"NaN",
        b"-Infinity",
        b"1.5",
        b"1e999",
        b'"\\ud800"',
        b"[" * 100_000,
        b"1" * 5_000,
        '{"a":1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda d: repr(d[:12]),
)
def test_json_that_two_readers_could_read_differently_is_refused(document: bytes) -> None:
    with pytest.raises(Refused, match="bad_request"):
        decode(document)


def test_refusals_are_counted_by_code(rig: Any) -> None:
    kid = rig.key()
    rig.sign(
        rig.request(kid, ttl=9_999),
        rig.request(kid, extra={"x": 1}),
        rig.request(kid),
        rig.request(kid, ttl=0),
    )
    stats = rig.do("stats")
    assert stats["refused"] == {"lifetime_not_allowed": 2, "claim_not_allowed": 1}
    assert (stats["signed"], stats["size"], stats["acked"], stats["keys"]) == (1, 4, 0, 1)
    assert stats["by_key"] == {kid: 1}


def test_a_batch_that_is_refused_as_a_whole_appends_nothing(rig: Any) -> None:
    kid, size = rig.key(), rig.signer.journal.size
    answer = rig.do("sign", requests=[rig.request(kid, ttl=0)] * 3)
    assert answer["batch"] is None
    assert rig.signer.journal.size == size


def test_private_halves_can_be_destroyed_however_much_is_pending(rig: Any) -> None:
    kid, other = rig.key(), rig.key(alg="EdDSA")
    full(rig)
    rig.do("ack", size=0)
    assert json.loads(rig.signer.destroy(kid=kid, reason="panic"))["batch"]["leaves"]
    rig.now[0] += 3_600
    rig.signer.tick()
    assert {key["state"] for key in rig.signer.keyring.listed()} == {"destroyed"}
    assert rig.signer.keyring.keys[other].live is False


def test_more_keys_than_can_be_listed_are_refused(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MAX_KEYS", 2)
    rig.key()
    rig.key(alg="EdDSA")
    assert make(rig, realm="consumer", verify_until=int(rig.now[0]) + 7_200) == "too_many_pending"
