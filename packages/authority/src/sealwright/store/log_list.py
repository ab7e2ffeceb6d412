"""`LogListStore` on SQL: one row, the newest list. Never decides when one is due."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Column, Engine, Integer, LargeBinary, Table, Text, delete, insert, select

from sealwright.ledger.model import StoredList
from sealwright.store.db import metadata, reader, writing

log_list = Table(
    "log_list",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("issued_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
)


class SqlLogListStore:
    """The newest list."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def latest(self) -> StoredList | None:
        """The newest list."""
        query = select(log_list).order_by(log_list.c.version.desc()).limit(1)
        with self._reader.connect() as connection:
            row = connection.execute(query).mappings().first()
        return StoredList(**row) if row else None

    def replace(self, stored: StoredList) -> None:
        """Keep this list instead of the one before, in one transaction."""
        row = asdict(stored)
        with writing(self._engine) as connection:
            connection.execute(delete(log_list))
            connection.execute(insert(log_list), row)
