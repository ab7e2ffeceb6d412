"""One leaf by its place on SQLite, without a layer between: strict checks and receipts ask for one each.

A query through SQLAlchemy takes ten times what SQLite itself takes. Each look is a read transaction of its
own, so it sees what was committed before it. May never write.
"""

from __future__ import annotations

import sqlite3
import threading

from sqlalchemy import Engine, PoolProxiedConnection

_LEAF = (
    "SELECT CAST(leaves.leaf AS BLOB) FROM leaves JOIN logs ON logs.id = leaves.log "
    "WHERE logs.log_id = ? AND leaves.idx = ?"
)


class SqliteLookup:
    """One connection of the engine, kept for looking up; safe for several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._kept: PoolProxiedConnection | None = None

    def leaf(self, log_id: str, index: int) -> bytes | None:
        """One leaf."""
        with self._lock:
            row = self._connection().execute(_LEAF, (log_id, index)).fetchone()
        return row[0] if row else None

    def _connection(self) -> sqlite3.Connection:
        if self._kept is None:
            self._kept = self._engine.raw_connection()
        driver = self._kept.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError("the engine's driver is not sqlite3")
        return driver
