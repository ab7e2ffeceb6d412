"""Canaries: tokens and keys that were planted to be stolen and are never used. Append-only."""

from __future__ import annotations

from sqlalchemy import Column, Engine, Float, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sealwright.errors import Refused, Unavailable
from sealwright.response.model import Canary
from sealwright.store.db import metadata, reader

canary_table = Table(
    "canary",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("planted_at", Float, nullable=False),
    Column("note", Text, nullable=False),
)


class SqlCanaryStore:
    """`CanaryStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def plant(self, canary: Canary) -> None:
        """See the port."""
        try:
            with self._engine.begin() as connection:
                row = {name: getattr(canary, name) for name in Canary.__struct_fields__}
                connection.execute(insert(canary_table).values(row))
        except IntegrityError as error:
            raise Refused("canary_known", "This canary was planted already.") from error
        except SQLAlchemyError as error:
            text = "The state store does not answer."
            raise Unavailable("store_unavailable", text, str(error)) from error

    def planted(self) -> list[Canary]:
        """See the port."""
        query = select(canary_table).order_by(canary_table.c.planted_at, canary_table.c.value)
        try:
            with self._reader.connect() as connection:
                return [Canary(**row) for row in connection.execute(query).mappings()]
        except SQLAlchemyError as error:
            text = "The state store does not answer."
            raise Unavailable("store_unavailable", text, str(error)) from error
