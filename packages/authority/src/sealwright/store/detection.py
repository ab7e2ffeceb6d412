"""Observations and alarms on SQLAlchemy Core.

Kept in a database of its own (`detection.db` in the state directory), so that reports never wait for the
ledger's group commit nor it for them; any engine will do. Never decides what an observation means.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from sealwright.detection.adoption import AudienceSeen
from sealwright.detection.model import (
    Alarm,
    Kept,
    Observation,
    Receipt,
    Report,
    Seen,
    StoredAlarm,
    ValidatorFacts,
    ValidatorStatus,
)
from sealwright.store.db import open_engine, reader, transaction

DATABASE = "detection.db"
ALARM_LOCK = 0x5EA1A1A2
"""PostgreSQL advisory lock that makes alarm numbers visible in order, whoever writes."""

tables = MetaData()

batch_table = Table(
    "observation_batch",
    tables,
    Column("number", Integer, primary_key=True),
    Column("received_at", Float, nullable=False),
    Column("judged", Boolean, nullable=False, index=True),
    sqlite_autoincrement=True,
)

_FIELDS = tuple(field.name for field in msgspec.structs.fields(Observation))
_TYPES: dict[str, Any] = {"at": Float, "iat": Integer, "exp": Integer, "latitude": Float, "longitude": Float}
_REQUIRED = frozenset({"id", "at", "verdict", "signature", "digest"})

observation = Table(
    "observation",
    tables,
    Column("row", Integer, primary_key=True),
    Column("batch", Integer, nullable=False, index=True),
    Column("reporter", Text, nullable=False),
    Column("instance", Text, nullable=False),
    *(Column(name, _TYPES.get(name, Text), nullable=name not in _REQUIRED) for name in _FIELDS),
    UniqueConstraint("reporter", "id"),
)

validator = Table(
    "validator",
    tables,
    Column("reporter", Text, primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("heard_at", Float, nullable=False),
    Column("facts", Text, nullable=False),
    Index("validator_heard_at", "heard_at"),
)

alarm = Table(
    "alarm",
    tables,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("code", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("raised_at", Float, nullable=False),
    Column("content", Text, nullable=False),
    sqlite_autoincrement=True,
)


cursor_table = Table(
    "alarm_cursor",
    tables,
    Column("reader", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
)


def open_detection(directory: Path) -> Engine:
    """The detection database of a state directory, with its tables made."""
    engine = open_engine(f"sqlite:///{directory / DATABASE}")
    make_detection_tables(engine)
    return engine


def make_detection_tables(engine: Engine) -> None:
    """Make the tables that are missing, in any database."""
    tables.create_all(engine)


def _insert(connection: Connection, table: Table) -> Any:
    """An INSERT that can say ON CONFLICT; both dialects spell it alike."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


_transaction = partial(transaction, store="detection store")


class SqlObservationStore:
    """`ObservationStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def add(self, received_at: float, reports: Sequence[tuple[str, Report]]) -> Kept:
        """See the port."""
        with _transaction(self._engine) as connection:
            number = connection.execute(
                insert(batch_table).values(received_at=received_at, judged=False)
            ).inserted_primary_key
            kept = _unseen(connection, received_at, reports, int(number[0]) if number else 0)
            if kept.new:
                rows = [_row(kept.batch, seen) for seen in kept.new]
                connection.execute(_insert(connection, observation).on_conflict_do_nothing(), rows)
            _hear(connection, received_at, reports)
        return kept

    def batch(self, number: int) -> list[Seen]:
        """See the port."""
        query = (
            select(observation, batch_table.c.received_at)
            .join(batch_table, batch_table.c.number == observation.c.batch)
            .where(observation.c.batch == number)
            .order_by(observation.c.row)
        )
        with _transaction(self._reader) as connection:
            return [_seen(row) for row in connection.execute(query).mappings()]

    def after(self, batch: int, limit: int) -> list[tuple[int, list[Seen]]]:
        """See the port."""
        query = (
            select(batch_table.c.number, batch_table.c.judged)
            .where(batch_table.c.number > batch)
            .order_by(batch_table.c.number)
            .limit(limit)
        )
        with _transaction(self._reader) as connection:
            rows = connection.execute(query).all()
        judged = itertools.takewhile(lambda row: row.judged, rows)
        return [(row.number, self.batch(row.number)) for row in judged]

    def unjudged(self) -> list[tuple[int, float]]:
        """See the port."""
        query = (
            select(batch_table.c.number, batch_table.c.received_at)
            .where(batch_table.c.judged.is_(False))
            .order_by(batch_table.c.number)
        )
        with _transaction(self._reader) as connection:
            return [(row.number, row.received_at) for row in connection.execute(query)]

    def mark_judged(self, numbers: Collection[int]) -> None:
        """See the port."""
        with _transaction(self._engine) as connection:
            connection.execute(
                update(batch_table).where(batch_table.c.number.in_(sorted(numbers))).values(judged=True)
            )

    def seen_audiences(self, since: float) -> list[AudienceSeen]:
        """Different tokens reported since a time (unix seconds), by audience and validator."""
        query = (
            select(
                observation.c.aud,
                observation.c.reporter,
                observation.c.instance,
                func.count(observation.c.digest.distinct()).label("tokens"),
            )
            .where(observation.c.at >= since, observation.c.signature == "valid")
            .group_by(observation.c.aud, observation.c.reporter, observation.c.instance)
        )
        with _transaction(self._reader) as connection:
            rows = connection.execute(query).all()
        return [
            AudienceSeen(audience, row.reporter, row.instance, row.tokens)
            for row in rows
            for audience in msgspec.json.decode(row.aud or "[]", type=list[str])
        ]

    def validators(self) -> list[ValidatorStatus]:
        """See the port."""
        query = select(validator).order_by(
            validator.c.heard_at.desc(), validator.c.reporter, validator.c.instance
        )
        with _transaction(self._reader) as connection:
            return [
                ValidatorStatus(
                    row.reporter, msgspec.json.decode(row.facts, type=ValidatorFacts), row.heard_at
                )
                for row in connection.execute(query)
            ]

    def prune(self, before: float) -> int:
        """See the port."""
        old = (batch_table.c.judged.is_(True)) & (batch_table.c.received_at < before)
        with _transaction(self._engine) as connection:
            numbers = select(batch_table.c.number).where(old).scalar_subquery()
            gone = connection.execute(delete(observation).where(observation.c.batch.in_(numbers))).rowcount
            connection.execute(delete(batch_table).where(old))
            connection.execute(delete(validator).where(validator.c.heard_at < before))
        return gone


class SqlAlarmStore:
    """`AlarmStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def add(self, alarms: Sequence[Alarm]) -> list[StoredAlarm]:
        """See the port."""
        new: list[StoredAlarm] = []
        with _transaction(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ALARM_LOCK})
            for one in alarms:
                statement = _insert(connection, alarm).on_conflict_do_nothing().returning(alarm.c.seq)
                seq = connection.execute(statement, _alarm_row(one)).scalar_one_or_none()
                if seq is not None:
                    new.append(StoredAlarm(seq, one))
        return new

    def page(self, after: int, limit: int) -> list[StoredAlarm]:
        """See the port."""
        query = (
            select(alarm.c.seq, alarm.c.content).where(alarm.c.seq > after).order_by(alarm.c.seq).limit(limit)
        )
        with _transaction(self._reader) as connection:
            return [
                StoredAlarm(row.seq, msgspec.json.decode(row.content, type=Alarm))
                for row in connection.execute(query)
            ]


class SqlCursorStore:
    """`CursorStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def cursor(self, reader: str) -> int:
        """See the port."""
        query = select(cursor_table.c.seq).where(cursor_table.c.reader == reader)
        with _transaction(self._reader) as connection:
            seq: int | None = connection.execute(query).scalar_one_or_none()
        return seq or 0

    def move(self, reader: str, seq: int) -> None:
        """See the port."""
        with _transaction(self._engine) as connection:
            statement = _insert(connection, cursor_table).values(reader=reader, seq=seq)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["reader"], set_={"seq": statement.excluded.seq}
                )
            )


def _unseen(
    connection: Connection, received_at: float, reports: Sequence[tuple[str, Report]], number: int
) -> Kept:
    """What of the reports is new: to the store, and within the batch itself."""
    known = _known(connection, reports)
    receipts: list[Receipt] = []
    new: list[Seen] = []
    for reporter, report in reports:
        before = len(new)
        for one in report.observations:
            if (reporter, one.id) not in known:
                known.add((reporter, one.id))
                new.append(Seen(reporter, report.validator.instance, received_at, one))
        stored = len(new) - before
        receipts.append(Receipt(stored, len(report.observations) - stored))
    return Kept(number, receipts, new)


def _known(connection: Connection, reports: Sequence[tuple[str, Report]]) -> set[tuple[str, str]]:
    known: set[tuple[str, str]] = set()
    for reporter, report in reports:
        ids = [one.id for one in report.observations]
        query = select(observation.c.id).where(observation.c.reporter == reporter, observation.c.id.in_(ids))
        known.update((reporter, row.id) for row in connection.execute(query))
    return known


def _hear(connection: Connection, received_at: float, reports: Sequence[tuple[str, Report]]) -> None:
    heard = {(reporter, report.validator.instance): report.validator for reporter, report in reports}
    rows = [
        {
            "reporter": reporter,
            "instance": instance,
            "heard_at": received_at,
            "facts": msgspec.json.encode(facts).decode(),
        }
        for (reporter, instance), facts in heard.items()
    ]
    statement = _insert(connection, validator)
    newest = {"heard_at": statement.excluded.heard_at, "facts": statement.excluded.facts}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["reporter", "instance"], set_=newest), rows
    )


def _row(number: int, seen: Seen) -> dict[str, Any]:
    row: dict[str, Any] = {"batch": number, "reporter": seen.reporter, "instance": seen.instance}
    row.update(msgspec.structs.asdict(seen.observation))
    row["aud"] = msgspec.json.encode(row["aud"]).decode()
    return row


def _seen(row: Any) -> Seen:
    fields = {name: row[name] for name in _FIELDS}
    fields["aud"] = tuple(msgspec.json.decode(fields["aud"]))
    return Seen(row["reporter"], row["instance"], row["received_at"], Observation(**fields))


def _alarm_row(one: Alarm) -> dict[str, Any]:
    return {
        "id": one.id,
        "code": one.code,
        "severity": one.severity.value,
        "raised_at": one.raised_at,
        "content": msgspec.json.encode(one).decode(),
    }
