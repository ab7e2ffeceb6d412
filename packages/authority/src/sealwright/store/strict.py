"""Realms that were raised to strict by a response, beside those that the configuration names."""

from __future__ import annotations

from sqlalchemy import Column, Engine, Float, Table, Text, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from sealwright.errors import Unavailable
from sealwright.store.db import metadata, reader

strict_table = Table(
    "strict_realm",
    metadata,
    Column("realm", Text, primary_key=True),
    Column("since", Float, nullable=False),
    Column("reason", Text, nullable=False),
)


class SqlStrictStore:
    """Durable when a call returns. Blocking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def raised(self) -> dict[str, float]:
        """The realms, and since when (unix seconds)."""
        with self._reader.connect() as connection:
            rows = connection.execute(select(strict_table.c.realm, strict_table.c.since))
            return {row.realm: row.since for row in rows}

    def raise_realm(self, realm: str, since: float, reason: str) -> None:
        """Keep a realm. Nothing changes when it is there already."""
        try:
            with self._engine.begin() as connection:
                known = connection.execute(select(strict_table.c.realm).where(strict_table.c.realm == realm))
                if known.first() is None:
                    row = {"realm": realm, "since": since, "reason": reason}
                    connection.execute(insert(strict_table).values(row))
        except SQLAlchemyError as error:
            text = "The state store does not answer."
            raise Unavailable("store_unavailable", text, str(error)) from error

    def lower_realm(self, realm: str) -> None:
        """Forget a realm."""
        with self._engine.begin() as connection:
            connection.execute(delete(strict_table).where(strict_table.c.realm == realm))
