"""What response decided, on SQLAlchemy Core; beside the alarms in the detection database."""

from __future__ import annotations

import msgspec
from sqlalchemy import Column, Engine, Float, Index, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from sealwright.errors import Unavailable
from sealwright.response.model import Response
from sealwright.store.db import reader
from sealwright.store.detection import tables

response_table = Table(
    "response",
    tables,
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("content", Text, nullable=False),
    Index("response_at", "at"),
)


class SqlResponseStore:
    """`ResponseStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def keep(self, response: Response) -> None:
        """See the port."""
        row = {"id": response.id, "at": response.at, "content": msgspec.json.encode(response).decode()}
        try:
            with self._engine.begin() as connection:
                dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
                statement = dialect.insert(response_table).values(row)
                newest = {"at": statement.excluded.at, "content": statement.excluded.content}
                connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=newest))
        except SQLAlchemyError as error:
            raise Unavailable(
                "store_unavailable", "The response store does not answer.", str(error)
            ) from error

    def since(self, at: float) -> list[Response]:
        """See the port."""
        query = (
            select(response_table.c.content)
            .where(response_table.c.at >= at)
            .order_by(response_table.c.at, response_table.c.id)
        )
        try:
            with self._reader.begin() as connection:
                return [msgspec.json.decode(row.content, type=Response) for row in connection.execute(query)]
        except SQLAlchemyError as error:
            raise Unavailable(
                "store_unavailable", "The response store does not answer.", str(error)
            ) from error
