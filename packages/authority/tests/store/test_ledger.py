"""The contract of `LedgerStore`: SQLite as a file and in memory, and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError as SqlIntegrityError

from authority_support.postgres import POSTGRESQL, database
from sealwright.errors import Refused, Unavailable
from sealwright.ledger.model import Entry, Log, Place, Tombstone
from sealwright.store.db import make_tables, open_engine, open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright_signer.journal import token_leaf

LOG_ID = "abcdefghijklmnop"
NODES = (b"n" * 32,)


@pytest.fixture(params=["file", "memory", POSTGRESQL])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A SQLite file has a way of its own to append; everything else goes through SQLAlchemy."""
    if request.param == "postgresql":
        with database() as engine:
            make_tables(engine)
            yield engine
        return
    engine = open_state(tmp_path) if request.param == "file" else open_engine("sqlite://")
    make_tables(engine)
    yield engine
    engine.dispose()


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
    with pytest.raises((Unavailable, SqlIntegrityError)):
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


def test_leaves_are_found_by_place_digest_and_key(store: SqlLedgerStore) -> None:
    digests, keys = [bytes([n]) * 32 for n in range(6)], [bytes([n % 2]) * 32 for n in range(6)]
    leaves = [token_leaf(digests[n], keys[n], 100 + n, 700 + n, b"r" * 32) for n in range(6)]
    rows = [Entry(n, leaf, b"record" if n % 2 else None) for n, leaf in enumerate(leaves)]
    store.append(0, rows, log(6), NODES)
    assert store.leaves(LOG_ID, 2, 4) == [row.leaf for row in rows[2:4]]
    assert store.leaf(LOG_ID, 9) is None
    assert store.find(bytes([3]) * 32) == [Place(LOG_ID, 3)]
    assert store.find(b"x" * 32) == []
    assert store.last_use(LOG_ID, bytes([1]) * 32, 6) == 105
    assert store.last_use(LOG_ID, bytes([1]) * 32, 0) is None
    assert store.purge_records(bytes([1]) * 32) == 3
    assert [entry.record for entry in store.entries(LOG_ID, 0, 6)] == [None] * 6
    assert [entry.leaf for entry in store.entries(LOG_ID, 0, 6)] == [row.leaf for row in rows]


def test_a_record_that_is_erased_leaves_a_tombstone_and_its_leaf(store: SqlLedgerStore) -> None:
    store.append(0, entries(0, 3), log(3), NODES)
    gone = Tombstone(LOG_ID, 1, 50, "asked")
    store.erase_record(gone)
    assert store.erased(LOG_ID, 1) == gone
    assert store.erased(LOG_ID, 2) is None
    assert store.entries(LOG_ID, 1, 2) == [Entry(1, b"leaf 1", None)]


def test_logs_are_counted_and_listed_oldest_first_and_added_once(store: SqlLedgerStore) -> None:
    other = Log("ponmlkjihgfedcba", "test/ponmlkjihgfedcba", "key", 0, "", None)
    for _ in range(2):
        store.add_log(other, 5)
    store.close_log(LOG_ID, 9)
    store.close_log(LOG_ID, 10)
    assert [(one.log_id, one.closed_at) for one in store.logs()] == [(LOG_ID, 9), (other.log_id, None)]
    assert store.counts() == (2, 1)


def test_what_the_head_proves_can_be_put_back(store: SqlLedgerStore) -> None:
    store.append(0, entries(0, 3), log(3), NODES)
    store.restore_leaf(LOG_ID, 1, b"as it was")
    store.restore_frontier(LOG_ID, 3, NODES * 2)
    assert store.entries(LOG_ID, 1, 2) == [Entry(1, b"as it was", b"record 1")]
    assert store.frontier(LOG_ID) == NODES * 2
    with pytest.raises(Refused, match="head_moved"):
        store.restore_frontier(LOG_ID, 2, NODES)
