from __future__ import annotations

import sqlite3
from pathlib import Path
from sqlite3 import IntegrityError

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError as SqlIntegrityError

from sealwright.errors import Refused, Unavailable
from sealwright.ledger.model import Entry, Log
from sealwright.store.db import make_tables, open_engine, open_state
from sealwright.store.ledger import SqlLedgerStore

LOG_ID = "abcdefghijklmnop"
NODES = (b"n" * 32,)


@pytest.fixture(params=["file", "memory"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A SQLite file has a way of its own to append; everything else goes through SQLAlchemy."""
    if request.param == "file":
        return open_state(tmp_path)
    engine = open_engine("sqlite://")
    make_tables(engine)
    return engine


@pytest.fixture
def store(engine: Engine) -> SqlLedgerStore:
    store = SqlLedgerStore(engine)
    store.add_log(log(0), 1)
    return store


def log(size: int) -> Log:
    return Log(LOG_ID, f"test/{LOG_ID}", "key", size, f"checkpoint {size}" if size else "", None)


def entries(start: int, end: int) -> list[Entry]:
    return [
        Entry(index, b"leaf %d" % index, None if index % 3 == 0 else b"record %d" % index)
        for index in range(start, end)
    ]


def test_what_is_appended_is_read_back_with_its_head(store: SqlLedgerStore) -> None:
    store.append(0, entries(0, 5), log(5), NODES)
    store.append(5, entries(5, 7), log(7), NODES * 3)
    assert store.entries(LOG_ID, 0, 100) == entries(0, 7)
    assert store.log(LOG_ID) == log(7)
    assert store.frontier(LOG_ID) == NODES * 3
    assert store.leaf(LOG_ID, 6) == b"leaf 6"


@pytest.mark.parametrize("before", [0, 4, 6])
def test_a_head_that_has_moved_is_refused_and_nothing_is_stored(store: SqlLedgerStore, before: int) -> None:
    store.append(0, entries(0, 5), log(5), NODES)
    with pytest.raises(Refused) as caught:
        store.append(before, entries(before, before + 2), log(before + 2), NODES)
    assert caught.value.code == "head_moved"
    assert store.entries(LOG_ID, 0, 100) == entries(0, 5)
    assert store.log(LOG_ID) == log(5)


def test_a_log_that_is_unknown_or_closed_takes_nothing(store: SqlLedgerStore) -> None:
    unknown = Log("ponmlkjihgfedcba", "test/ponmlkjihgfedcba", "key", 1, "checkpoint", None)
    with pytest.raises(Refused):
        store.append(0, entries(0, 1), unknown, NODES)
    store.append(0, entries(0, 5), log(5), NODES)
    store.close_log(LOG_ID, 9)
    with pytest.raises(Refused):
        store.append(5, entries(5, 6), log(6), NODES)
    assert store.entries(LOG_ID, 0, 100) == entries(0, 5)


def test_a_batch_that_cannot_be_stored_whole_is_not_stored_at_all(store: SqlLedgerStore) -> None:
    store.append(0, entries(0, 5), log(5), NODES)
    with pytest.raises((IntegrityError, SqlIntegrityError)):
        store.append(5, [*entries(5, 7), *entries(4, 5)], log(8), NODES)
    assert store.entries(LOG_ID, 0, 100) == entries(0, 5)
    assert store.log(LOG_ID) == log(5)
    store.append(5, entries(5, 7), log(7), NODES)
    assert store.log(LOG_ID) == log(7)


def test_two_stores_on_one_file_cannot_both_append(tmp_path: Path) -> None:
    first, second = SqlLedgerStore(open_state(tmp_path)), SqlLedgerStore(open_state(tmp_path))
    first.add_log(log(0), 1)
    first.append(0, entries(0, 2), log(2), NODES)
    with pytest.raises(Refused):
        second.append(0, entries(0, 1), log(1), NODES)
    second.append(2, entries(2, 3), log(3), NODES)
    assert first.log(LOG_ID) == log(3)


class Full:
    """Lets a database grow no more: SQLite says then what it says of a full disk."""

    def __init__(self, engine: Engine) -> None:
        self._connections: list[sqlite3.Connection] = []
        event.listen(engine, "connect", lambda made, _record: self._connections.append(made))

    def now(self) -> None:
        for connection in self._connections:
            [pages] = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def over(self) -> None:
        for connection in self._connections:
            connection.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_stores_nothing_and_takes_the_same_batch_when_there_is_room(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    engine.dispose()
    full, store = Full(engine), SqlLedgerStore(engine)
    store.add_log(log(0), 1)
    store.append(0, entries(0, 5), log(5), NODES)
    full.now()
    large = [Entry(index, bytes(2_000), None) for index in range(5, 500)]
    for _ in range(2):
        with pytest.raises(Unavailable, match="full"):
            store.append(5, large, log(500), NODES)
        assert store.entries(LOG_ID, 0, 1_000) == entries(0, 5)
        assert store.log(LOG_ID) == log(5)
    full.over()
    store.append(5, large, log(500), NODES)
    assert store.entries(LOG_ID, 0, 1_000) == [*entries(0, 5), *large]
    assert store.log(LOG_ID) == log(500)
