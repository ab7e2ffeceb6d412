"""Notices and their delivery log in the state database. Append-only: what was sent is never changed."""

from __future__ import annotations

import msgspec
from sqlalchemy import Column, Engine, Integer, Table, Text, UniqueConstraint, insert, select
from sqlalchemy.exc import IntegrityError

from sealwright.errors import Refused
from sealwright.response.notices import Delivery, Notice
from sealwright.store.db import metadata, reader

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

    def add(self, notice: Notice, signed: str) -> None:
        """See the port."""
        row = {name: getattr(notice, name) for name in ("id", "incident", "tenant", "version")}
        try:
            with self._engine.begin() as connection:
                content = msgspec.json.encode(notice).decode()
                connection.execute(insert(notice_table).values(**row, content=content, signed=signed))
        except IntegrityError as error:
            raise Refused(
                "notice_exists", "This version was made already; correct it with the next."
            ) from error

    def latest(self, incident: str, tenant: str) -> Notice | None:
        """See the port."""
        query = (
            select(notice_table.c.content)
            .where(notice_table.c.incident == incident, notice_table.c.tenant == tenant)
            .order_by(notice_table.c.version.desc())
            .limit(1)
        )
        with self._reader.connect() as connection:
            content = connection.execute(query).scalar_one_or_none()
        return msgspec.json.decode(content, type=Notice) if content is not None else None

    def log(self, delivery: Delivery) -> None:
        """See the port."""
        content = msgspec.json.encode(delivery).decode()
        with self._engine.begin() as connection:
            connection.execute(insert(delivery_table).values(notice=delivery.notice, content=content))

    def deliveries(self, notice: str) -> list[Delivery]:
        """See the port."""
        query = (
            select(delivery_table.c.content)
            .where(delivery_table.c.notice == notice)
            .order_by(delivery_table.c.number)
        )
        with self._reader.connect() as connection:
            return [msgspec.json.decode(row.content, type=Delivery) for row in connection.execute(query)]
