"""The group commit on SQLite, without a layer between: every token waits for it.

Measured at 16 leaves a commit, SQLAlchemy's connection, transaction and parameters took twice what SQLite
itself took, and several times that in a process that does other things in between. The statements are those
of `store/ledger.py`. It may never commit anything else, nor let two threads into one transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

from sqlalchemy import Engine, PoolProxiedConnection

from sealwright.ledger.model import Entry

Head = tuple[int, str, bytes]
"""A log's new size, checkpoint and frontier."""

_BEGIN = "BEGIN IMMEDIATE"
_MOVE = (
    "UPDATE logs SET size = ?, checkpoint = ?, frontier = ? WHERE id = ? AND size = ? AND closed_at IS NULL"
)
_INSERT = "INSERT INTO leaves (log, idx, leaf, record) VALUES "
_ROW = "(?, ?, ?, ?)"
_ROWS_AT_ONCE = (64, 16, 4, 1)
"""Rows of one statement: the driver gives the interpreter up, and has to win it back, once a statement."""


def is_sqlite_file(engine: Engine) -> bool:
    """Whether the engine keeps its tables in a SQLite file, so that another connection sees the same."""
    return engine.dialect.name == "sqlite" and bool(engine.url.database)


_STATEMENTS = {rows: _INSERT + ", ".join([_ROW] * rows) for rows in _ROWS_AT_ONCE}


def _insert(connection: sqlite3.Connection, number: int, entries: Sequence[Entry]) -> None:
    start = 0
    for rows in _ROWS_AT_ONCE:
        while len(entries) - start >= rows:
            values: list[int | bytes | None] = []
            for entry in entries[start : start + rows]:
                values += (number, entry.index, entry.leaf, entry.record)
            connection.execute(_STATEMENTS[rows], values)
            start += rows


class SqliteAppender:
    """One connection of the engine (so with its pragmas: full sync), kept for appending."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._kept: PoolProxiedConnection | None = None
        self._numbers: dict[str, int] = {}  # a log keeps its number for ever

    def append(self, log_id: str, before: int, head: Head, entries: Sequence[Entry]) -> bool:
        """Store entries and the new head in one transaction; false, and nothing stored, when it has moved."""
        with self._lock:
            connection = self._connection()
            connection.execute(_BEGIN)
            try:
                number = self._number(connection, log_id)
                moved = connection.execute(_MOVE, (*head, number, before)).rowcount == 1
                if moved:
                    _insert(connection, number, entries)
                    connection.commit()
            except BaseException:
                # A commit that failed may have left the transaction open, and no other could begin.
                connection.rollback()
                raise
            if not moved:
                connection.rollback()
            return moved

    def _connection(self) -> sqlite3.Connection:
        if self._kept is None:
            self._kept = self._engine.raw_connection()
        driver = self._kept.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError("the engine's driver is not sqlite3")
        return driver

    def _number(self, connection: sqlite3.Connection, log_id: str) -> int:
        number = self._numbers.get(log_id)
        if number is None:
            row = connection.execute("SELECT id FROM logs WHERE log_id = ?", (log_id,)).fetchone()
            number = row[0] if row else 0  # no log has the number 0
            if number:
                self._numbers[log_id] = number
        return number
