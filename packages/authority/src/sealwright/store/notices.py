"""Notices and their delivery log in the state database. Append-only: what was sent is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Engine, Integer, Select, Table, Text, UniqueConstraint, insert, select
from sqlalchemy.exc import IntegrityError

from sealwright.errors import Refused
from sealwright.response.notices import Delivery, Notice, SignedNotice
from sealwright.store.db import metadata, reader, transaction

notice_table = Table(
    "notice",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("signed", Text, nullable=False),
    UniqueConstraint("incident", "tenant", "version"),
)

delivery_table = Table(
    "notice_delivery",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("notice", Text, nullable=False, index=True),
    Column("content", Text, nullable=False),
)


class SqlNoticeStore:
    """`NoticeStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def add(self, made: Sequence[SignedNotice]) -> None:
        """See the port."""
        rows = [_row(one) for one in made]
        with transaction(self._engine) as connection:
            try:
                for row in rows:
                    connection.execute(insert(notice_table).values(row))
            except IntegrityError as error:
                raise Refused(
                    "notice_exists", "This version was made already; correct it with the next."
                ) from error

    def of_incident(self, incident: str) -> list[SignedNotice]:
        """See the port."""
        mine = notice_table.c.incident == incident
        order = (notice_table.c.version, notice_table.c.tenant)
        return self._found(select(notice_table).where(mine).order_by(*order))

    def notice(self, notice_id: str) -> SignedNotice | None:
        """See the port."""
        return next(iter(self._found(select(notice_table).where(notice_table.c.id == notice_id))), None)

    def _found(self, query: Select[Any]) -> list[SignedNotice]:
        with transaction(self._reader) as connection:
            return [
                SignedNotice(msgspec.json.decode(row.content, type=Notice), row.signed)
                for row in connection.execute(query)
            ]

    def latest(self, incident: str, tenant: str) -> Notice | None:
        """See the port."""
        query = (
            select(notice_table)
            .where(notice_table.c.incident == incident, notice_table.c.tenant == tenant)
            .order_by(notice_table.c.version.desc())
            .limit(1)
        )
        found = self._found(query)
        return found[0].notice if found else None

    def log(self, delivery: Delivery) -> None:
        """See the port."""
        content = msgspec.json.encode(delivery).decode()
        with transaction(self._engine) as connection:
            connection.execute(insert(delivery_table).values(notice=delivery.notice, content=content))

    def deliveries(self, notice: str) -> list[Delivery]:
        """See the port."""
        query = (
            select(delivery_table.c.content)
            .where(delivery_table.c.notice == notice)
            .order_by(delivery_table.c.number)
        )
        with transaction(self._reader) as connection:
            return [msgspec.json.decode(row.content, type=Delivery) for row in connection.execute(query)]


def _row(made: SignedNotice) -> dict[str, Any]:
    notice = made.notice
    names = {name: getattr(notice, name) for name in ("id", "incident", "tenant", "version")}
    return {**names, "content": msgspec.json.encode(notice).decode(), "signed": made.signed}
