"""A grant event marks the record that the token endpoint made, and no other record."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.errors import Misconfigured
from sealwright.issuer.events import KEY_FILE, GrantEvents

RECORD = b"s" * 16 + b'{"client_id":"c","sub":"a"}'
EVENTS = GrantEvents(b"k" * 32, 0.0)


def test_a_marked_record_is_json_after_its_salt_and_has_its_event_as_the_last_member() -> None:
    marked = EVENTS.marked(RECORD)
    members = json.loads(marked[16:])
    assert list(members) == ["client_id", "sub", "event"]
    assert EVENTS.event_of(marked) == members["event"]
    assert len(members["event"]) == 32


@given(st.integers(0, len(EVENTS.marked(RECORD)) - 1), st.integers(1, 255))
def test_a_record_that_was_changed_anywhere_has_no_event(at: int, flip: int) -> None:
    changed = bytearray(EVENTS.marked(RECORD))
    changed[at] ^= flip
    assert EVENTS.event_of(bytes(changed)) is None


@given(st.binary(max_size=120))
def test_nothing_that_was_made_elsewhere_has_an_event(record: bytes) -> None:
    assert EVENTS.event_of(record) is None


def test_the_mark_of_one_record_does_not_fit_another_nor_another_key() -> None:
    marked = EVENTS.marked(RECORD)
    other = b"t" * 16 + marked[16:]
    assert EVENTS.event_of(other) is None
    assert GrantEvents(b"K" * 32, 0.0).event_of(marked) is None
    assert EVENTS.event_of(RECORD) is None


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    assert GrantEvents.open(tmp_path) is None
    made = GrantEvents.made(tmp_path)
    again = GrantEvents.made(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert again.event_of(made.marked(RECORD)) is not None
    assert again.since == made.since
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(Misconfigured, match="open_file"):
        GrantEvents.open(tmp_path)
