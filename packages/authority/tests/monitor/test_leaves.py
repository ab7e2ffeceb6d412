"""Entries that a signer would never make, under its own identity key, are named by the monitor."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from authority_support.monitors import Site, codes, monitor_of
from authority_support.papersite import PaperSite, Seat
from sealwright.monitor.model import Code
from sealwright.monitor.service import Rules
from sealwright_signer.journal import token_leaf
from sealwright_validate.encoding import decode_base64url


def append(paper: PaperSite, seat: Seat, leaf: bytes) -> None:
    """The identity key signs a leaf that the signer's own rules would never make."""
    seat.signer.journal.append([leaf])
    paper.do(seat, "statement", type="audit", digest="cd" * 32)
    paper.refresh()


def token_under(seat: Seat, kid: bytes, iat: int, exp: int) -> bytes:
    return token_leaf(b"d" * 32, kid, iat, exp, b"r" * 32)


def test_tokens_under_keys_that_do_not_sign_are_named(site: Site) -> None:
    paper, first, second = site
    now = int(paper.clock.time)
    dead = decode_base64url(first.keys["enterprise"]["kid"])
    paper.rotate(first, "enterprise")
    index = first.signer.journal.size
    append(paper, first, token_under(first, b"k" * 32, now, now + 60))
    append(paper, first, token_under(first, dead, now, now + 60))
    other = decode_base64url(second.keys["consumer"]["kid"])
    append(paper, first, token_under(first, other, now, now + 60))
    alarms = monitor_of(paper).round()
    assert {alarm.code for alarm in alarms} == {Code.UNEXPECTED_KEY}
    assert min(alarm.index for alarm in alarms if alarm.index is not None) == index
    assert len(alarms) == 3


@pytest.mark.parametrize(("early", "late"), [(-10_000, 60), (0, 4_000), (0, 0), (7 * 3_600, 7 * 3_600 + 9)])
def test_tokens_outside_their_keys_window_are_named(site: Site, early: int, late: int) -> None:
    paper, first, _ = site
    now, kid = int(paper.clock.time), decode_base64url(first.keys["enterprise"]["kid"])
    append(paper, first, token_under(first, kid, now + early, now + late))
    assert codes(monitor_of(paper).round()) == {(Code.TOKEN_OUTSIDE_WINDOW.value, first.log_id)}


@pytest.mark.parametrize(
    "leaf",
    [b"", b"\x01", b"\x02\x01", b"\x01\x09{}", b"\x01\x01short", b"\x01\x02nonsense", b"\x01\x02[]",
     b'\x01\x02{"event":"resurrected","kid":"AA"}'],
)  # fmt: skip
def test_leaves_that_are_none_are_named(site: Site, leaf: bytes) -> None:
    paper, first, _ = site
    append(paper, first, leaf)
    assert codes(monitor_of(paper).round()) == {(Code.MALFORMED_LEAF.value, first.log_id)}


def test_announcements_that_are_not_the_logs_own_are_named(site: Site) -> None:
    paper, first, second = site
    for entry in paper.store.entries(second.log_id, 0, 3):
        if b'"announced"' in entry.leaf:
            append(paper, first, entry.leaf)
    append(paper, first, b'\x01\x02{"event":"announced","kid":"AA","announcement":7}')
    append(paper, first, b'\x01\x02{"event":"activated","kid":"AAAA"}')
    alarms = monitor_of(paper).round()
    assert {alarm.code for alarm in alarms} == {Code.UNEXPECTED_KEY}
    assert len(alarms) == 3


def test_a_key_for_an_unexpected_realm_is_named(site: Site) -> None:
    paper, _, _ = site
    alarms = monitor_of(paper, Rules(realms=("enterprise",))).round()
    assert {alarm.code for alarm in alarms} == {Code.UNEXPECTED_KEY}
    assert "consumer" in alarms[0].detail


ODD_ANNOUNCEMENTS: list[dict[str, object]] = [
    {"jwk": None},
    {"jwk": 7},
    {"jwk": {}},
    {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": []}},
    {"kid": 5},
    {"realm": ""},
    {"realm": ["enterprise"]},
    {"incarnation": "someone else"},
    {"use_from": "now"},
    {"verify_until": -1},
]


@pytest.mark.parametrize("change", ODD_ANNOUNCEMENTS, ids=str)
def test_odd_announcements_under_the_logs_own_key_are_named_and_survived(
    site: Site, change: dict[str, object]
) -> None:
    paper, first, _ = site
    jws = first.keys["enterprise"]["announcement"]
    told = json.loads(decode_base64url(jws.split(".")[1])) | {"kid": "A" * 43} | change
    document = first.signer.identity.document("sealwright-key+jwt", told)
    members = {"event": "announced", "kid": "A" * 43, "realm": "enterprise", "announcement": document}
    append(paper, first, b"\x01\x02" + json.dumps(members).encode())
    assert {alarm.code for alarm in monitor_of(paper).round()} == {Code.UNEXPECTED_KEY}


@pytest.mark.parametrize(
    "leaf",
    [b"\x01\x03" + b"[" * 60_000, b'\x01\x02{"a":' * 9_000, b'\x01\x03{"type":"manifest","digest":"\\ud800"}',
     b'\x01\x03{"type":"manifest","digest":{}}', b'\x01\x02{"event":"\\u001b[2J\\ud800","kid":"\\u001b[2J"}',
     b'\x01\x02{"event":{},"kid":[]}', b'\x01\x02{"event":"activated","kid":"\\ud800"}'],
    ids=range(7),
)  # fmt: skip
def test_hostile_leaves_are_named_in_plain_text_and_survived(site: Site, tmp_path: Path, leaf: bytes) -> None:
    paper, first, _ = site
    append(paper, first, leaf)
    monitor = monitor_of(paper, state=tmp_path / "m")
    alarms = monitor.round()
    assert {alarm.code for alarm in alarms} <= {Code.MALFORMED_LEAF, Code.UNEXPECTED_KEY}
    assert len(alarms) == 1
    assert all(alarm.detail.isprintable() and len(alarm.detail) <= 300 for alarm in alarms)
    assert json.loads(msgspec.json.encode(monitor.report()))
    # A restarted monitor does not tell it again, and does not forget it.
    again = monitor_of(paper, state=tmp_path / "m")
    assert again.round() == []
    assert again.report().alarms == alarms
