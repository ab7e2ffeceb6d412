"""Streams and the outbox of the Shared Signals transmitter, in the state database.

`put` takes a connection, so that whoever revokes puts the events into the outbox in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from sealwright.ids import new_id
from sealwright.response.ssf.model import Event, Stream, Waiting
from sealwright.store.db import metadata, reader, transaction

PENDING, TAKEN, FAILED = "pending", "taken", "failed"

streams_table = Table(
    "ssf_stream",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("stream_id", Text, nullable=False, unique=True),
    Column("content", Text, nullable=False),
)

outbox = Table(
    "ssf_outbox",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("stream_id", Text, nullable=False),
    Column("jti", Text, nullable=False, unique=True),
    Column("queued_at", Float, nullable=False),
    Column("claims", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Index("ssf_outbox_waiting", "stream_id", "state", "seq"),
    sqlite_autoincrement=True,
)


_SETTLE = (
    update(outbox)
    .where(outbox.c.stream_id == bindparam("whose"), outbox.c.jti == bindparam("which"))
    .where(outbox.c.state == PENDING)
    .values(state=bindparam("ends"), error=bindparam("why"))
)


class SqlStreamStore:
    """`StreamStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def put_stream(self, stream: Stream) -> None:
        """See the port."""
        content = msgspec.json.encode(stream).decode()
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(streams_table)
                .where(streams_table.c.stream_id == stream.stream_id)
                .values(content=content)
            )
            if not changed.rowcount:
                connection.execute(insert(streams_table).values(stream_id=stream.stream_id, content=content))

    def stream(self, stream_id: str) -> Stream | None:
        """See the port."""
        query = select(streams_table.c.content).where(streams_table.c.stream_id == stream_id)
        with transaction(self._reader) as connection:
            content = connection.execute(query).scalar_one_or_none()
        return msgspec.json.decode(content, type=Stream) if content is not None else None

    def streams(self) -> list[Stream]:
        """See the port."""
        with transaction(self._reader) as connection:
            return _streams(connection)

    def delete_stream(self, stream_id: str) -> None:
        """See the port."""
        with transaction(self._engine) as connection:
            connection.execute(delete(streams_table).where(streams_table.c.stream_id == stream_id))
            connection.execute(delete(outbox).where(outbox.c.stream_id == stream_id))

    def emit(self, events: Sequence[Event], issuer: str, now: float, only: str | None = None) -> int:
        """See the port."""
        with transaction(self._engine) as connection:
            return put(connection, events, issuer, now, only)

    def waiting(self, stream_id: str, limit: int) -> list[Waiting]:
        """See the port."""
        query = (
            select(outbox)
            .where(outbox.c.stream_id == stream_id, outbox.c.state == PENDING)
            .order_by(outbox.c.seq)
            .limit(limit)
        )
        with transaction(self._reader) as connection:
            return [_waiting(row) for row in connection.execute(query)]

    def acknowledge(self, taken: Mapping[str, Collection[str]]) -> int:
        """See the port."""
        return self._settle([(stream, jti, TAKEN, None) for stream, jtis in taken.items() for jti in jtis])

    def reject(self, stream_id: str, errors: Mapping[str, str]) -> int:
        """See the port."""
        return self._settle([(stream_id, jti, FAILED, error) for jti, error in errors.items()])

    def oldest(self) -> dict[str, float]:
        """See the port."""
        query = (
            select(outbox.c.stream_id, func.min(outbox.c.queued_at))
            .where(outbox.c.state == PENDING)
            .group_by(outbox.c.stream_id)
        )
        with transaction(self._reader) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _settle(self, ends: Sequence[tuple[str, str, str, str | None]]) -> int:
        """Stream, `jti`, what becomes of it, and why; each that waits, all in one transaction."""
        if not ends:
            return 0
        with transaction(self._engine) as connection:
            return sum(
                connection.execute(_SETTLE, {"whose": stream, "which": jti, "ends": end, "why": why}).rowcount
                for stream, jti, end, why in ends
            )


def put(
    connection: Connection, events: Sequence[Event], issuer: str, now: float, only: str | None = None
) -> int:
    """Address events to every stream that wants them, inside the caller's transaction; returns how many SETs.

    Args:
        connection: with a transaction under way.
        events: in the order in which they happened.
        issuer: of the transmitter.
        now: unix seconds.
        only: one stream, for events that concern it alone.
    """
    known = [stream for stream in _streams(connection) if only is None or stream.stream_id == only]
    rows = [
        _row(event, stream, issuer, new_id("set"), now)
        for event in events
        for stream in known
        if stream.wants(event)
    ]
    if rows:
        connection.execute(insert(outbox), rows)
    return len(rows)


def _row(event: Event, stream: Stream, issuer: str, jti: str, now: float) -> dict[str, Any]:
    claims = msgspec.json.encode(event.addressed(stream, issuer, jti, now)).decode()
    return {"stream_id": stream.stream_id, "jti": jti, "queued_at": now, "claims": claims, "state": PENDING}


def _streams(connection: Connection) -> list[Stream]:
    query = select(streams_table.c.content).order_by(streams_table.c.number)
    return [msgspec.json.decode(row.content, type=Stream) for row in connection.execute(query)]


def _waiting(row: Any) -> Waiting:
    claims = msgspec.json.decode(row.claims)
    return Waiting(seq=row.seq, stream_id=row.stream_id, jti=row.jti, queued_at=row.queued_at, claims=claims)
