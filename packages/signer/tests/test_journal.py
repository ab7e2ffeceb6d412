"""Leaves have one form; nothing is forgotten before it is acknowledged."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright_signer import journal
from sealwright_signer.journal import (
    KEY_EVENT,
    STATEMENT,
    Journal,
    TokenLeaf,
    json_leaf,
    parse_leaf,
    token_leaf,
)
from sealwright_signer.protocol import Refused

U64, HASH = st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32)
EVENT = {"event": "activated", "kid": "k", "realm": "r", "at": 1}


@given(HASH, HASH, U64, U64, HASH)
def test_a_token_leaf_says_what_was_put_into_it(
    digest: bytes, kid: bytes, iat: int, exp: int, record: bytes
) -> None:
    leaf = token_leaf(digest, kid, iat, exp, record)
    assert leaf == b"\1\1" + digest + kid + iat.to_bytes(8, "big") + exp.to_bytes(8, "big") + record
    assert parse_leaf(leaf) == TokenLeaf(digest, kid, iat, exp, record)


def test_key_events_and_statements_say_what_was_put_into_them() -> None:
    assert parse_leaf(json_leaf(KEY_EVENT, **EVENT)) == EVENT
    statement = {"type": "audit", "digest": "00" * 32, "at": 1}
    assert parse_leaf(json_leaf(STATEMENT, **statement)) == statement


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"\1",
        b"\1\1",
        b"\2\1" + bytes(112),
        b"\1\1" + bytes(111),
        b"\1\1" + bytes(113),
        b"\1\4{}",
        b"\1\2{}",
        b"\1\3" + b'{"at":1,"digest":"","type": "audit"}',
        b"\1\3" + b'{"digest":"","at":1,"type":"audit"}',
        b"\1\3" + b'{"at":1,"at":1,"digest":"","type":"audit"}',
        b"\1\3" + b'{"at":1,"digest":"\\u0061","type":"audit"}',
        b"\1\3" + b"[]",
        b"\1\3" + b"\xff",
        json_leaf(KEY_EVENT, **EVENT) + b" ",
    ],
)
def test_what_is_no_leaf_in_its_one_form_is_refused(leaf: bytes) -> None:
    with pytest.raises(ValueError, match=r"leaf|JSON|member"):
        parse_leaf(leaf)


def make_journal() -> Journal:
    return Journal("host/log", bytes(32), lambda _: bytes(64))


def batch_of(text: str) -> tuple[int, list[bytes]]:
    batch = json.loads(text)
    return batch["first"], [base64.b64decode(leaf) for leaf in batch["leaves"]]


def test_a_batch_carries_what_none_before_it_carried() -> None:
    log = make_journal()
    log.append([b"a", b"b"])
    assert batch_of(log.batch()) == (0, [b"a", b"b"])
    log.append([b"c"])
    log.append([b"d"])
    assert batch_of(log.batch()) == (2, [b"c", b"d"])
    assert batch_of(log.batch()) == (4, [])


def test_what_is_not_acknowledged_is_offered_again_in_one_batch() -> None:
    log = make_journal()
    assert log.pending() == "[]"
    log.append([b"a", b"b", b"c"])
    log.batch()
    log.acknowledge(1)
    log.append([b"d"])
    (pending,) = json.loads(log.pending())
    assert batch_of(json.dumps(pending)) == (1, [b"b", b"c", b"d"])
    assert pending["checkpoint"].split("\n")[1] == "4"
    log.append([b"e"])
    assert batch_of(log.batch()) == (4, [b"e"])


@given(
    st.lists(
        st.one_of(
            st.integers(1, 5).map(lambda n: ("append", n)),
            st.sampled_from([("batch", 0), ("ack", 0), ("hello", 0)]),
        )
    )
)
def test_whatever_happens_between_no_leaf_is_lost_and_none_comes_twice(steps: list[tuple[str, int]]) -> None:
    log, stored, made = make_journal(), list[bytes](), 0
    for step, count in steps:
        if step == "append":
            log.append([str(made + n).encode() for n in range(count)])
            made += count
        elif step == "ack":
            log.acknowledge(len(stored))
        else:
            batches: list[Any] = json.loads(log.pending()) if step == "hello" else [json.loads(log.batch())]
            for batch in batches:
                first, leaves = batch_of(json.dumps(batch))
                assert first <= len(stored)
                stored[first:] = leaves
    (*_, last) = json.loads(log.pending()) or [{"first": made, "leaves": []}]
    stored[last["first"] :] = [base64.b64decode(leaf) for leaf in last["leaves"]]
    assert stored == [str(n).encode() for n in range(made)]


def test_too_much_without_acknowledgement_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_journal()
    log.append([b""] * journal.MAX_PENDING)
    with pytest.raises(Refused, match="too_many_pending"):
        log.require_room()
    log.batch()
    log.acknowledge(1)
    log.require_room()
    with pytest.raises(Refused, match="too_many_pending"):
        log.require_room(2)
    monkeypatch.setattr(journal, "MAX_PENDING_CHARS", 3)
    log.append([b"long"])
    log.batch()
    log.acknowledge(log.size - 1)
    with pytest.raises(Refused, match="too_many_pending"):
        log.require_room()
