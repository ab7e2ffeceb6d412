from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from sealwright.ledger.model import Entry, Log, Place
from sealwright.store import digests, runs
from sealwright.store.db import open_state
from sealwright.store.digests import SqliteDigestIndex
from sealwright.store.ledger import SqlLedgerStore

LOGS = ("abcdefghijklmnop", "ponmlkjihgfedcba")


def digest(log_id: str, index: int) -> bytes:
    return hashlib.sha256(f"{log_id} {index}".encode()).digest()


def leaf(log_id: str, index: int) -> bytes:
    return b"\x01\x01" + digest(log_id, index) + bytes(80)


class Growing:
    """Logs that grow, and what must be found of them."""

    def __init__(self, directory: Path) -> None:
        self.store = SqlLedgerStore(open_state(directory))
        self.sizes = dict.fromkeys(LOGS, 0)
        for log_id in LOGS:
            self.store.add_log(Log(log_id, log_id, "key", 0, "", None), 1)

    def grow(self, log_id: str, count: int) -> None:
        before = self.sizes[log_id]
        self.sizes[log_id] = after = before + count
        entries = [Entry(index, leaf(log_id, index), None) for index in range(before, after)]
        self.store.append(before, entries, Log(log_id, log_id, "key", after, "head", None), ())

    def require_found(self, *indexes: SqliteDigestIndex) -> None:
        for index in indexes:
            for log_id, size in self.sizes.items():
                for number in range(size):
                    assert index.find(digest(log_id, number)) == [Place(log_id, number)]
                assert index.find(digest(log_id, size)) == []


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Growing:
    monkeypatch.setattr(digests, "AT_ONCE", 16)
    monkeypatch.setattr(runs, "MERGED_FOR_EACH", 4)
    monkeypatch.setattr(runs, "MERGED_AT_ONCE", 5)
    monkeypatch.setattr(runs, "FAN", 3)
    return Growing(tmp_path)


def tables(directory: Path) -> list[tuple[int, int]]:
    with sqlite3.connect(directory / digests.FILE) as connection:
        return connection.execute("SELECT level, count(*) FROM runs GROUP BY level ORDER BY level").fetchall()


def test_every_digest_is_found_whatever_is_being_merged(growing: Growing, tmp_path: Path) -> None:
    index, other = SqliteDigestIndex(tmp_path), SqliteDigestIndex(tmp_path)
    levels = set[int]()
    for step in range(60):
        growing.grow(LOGS[step % 2], 1 + step * 7 % 23)
        assert index.follow() > 0
        growing.require_found(*((index, other) if step % 10 == 9 else (index,)))
        levels |= {level for level, _ in tables(tmp_path)}
    assert levels == {1, 2, 3}
    assert sum(count for _, count in tables(tmp_path)) < 15
    index.close()
    other.close()
    growing.require_found(SqliteDigestIndex(tmp_path))


def test_what_two_processes_take_in_at_once_is_found_once(growing: Growing, tmp_path: Path) -> None:
    one, two = SqliteDigestIndex(tmp_path), SqliteDigestIndex(tmp_path)
    for _ in range(20):
        growing.grow(LOGS[0], 17)
        one.follow()
        with sqlite3.connect(tmp_path / digests.FILE) as connection:
            connection.execute("UPDATE followed SET size = size - 17")
        connection.close()
        assert two.follow() == 17
    growing.require_found(one, two)


def test_an_index_of_one_large_table_is_taken_over(growing: Growing, tmp_path: Path) -> None:
    """As this file was until it had runs."""
    growing.grow(LOGS[0], 500)
    with sqlite3.connect(tmp_path / digests.FILE) as connection:
        connection.execute(runs.TABLES[0])
        connection.execute("CREATE TABLE followed (log INTEGER PRIMARY KEY, log_id TEXT, size INTEGER)")
        rows = [(digest(LOGS[0], number), 1, number) for number in range(500)]
        connection.executemany("INSERT INTO digests VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO followed VALUES (1, ?, 500)", (LOGS[0],))
    connection.close()
    index = SqliteDigestIndex(tmp_path)
    growing.require_found(index)
    growing.grow(LOGS[0], 1)
    assert index.follow() == 1
    growing.require_found(index)
    assert tables(tmp_path) == [(4, 1)]


def test_a_deleted_index_is_made_anew(growing: Growing, tmp_path: Path) -> None:
    growing.grow(LOGS[0], 100)
    before = SqliteDigestIndex(tmp_path)
    assert before.follow() == 100
    before.close()
    for file in tmp_path.glob(f"{digests.FILE}*"):
        file.unlink()
    index = SqliteDigestIndex(tmp_path)
    told = list[int]()
    assert index.follow(told.append) == 100
    assert told[-1] == 100
    assert told == sorted(told)
    growing.require_found(index)
