"""`AdmissionStore` and the keys room's `AdmissionPort` on SQL.

A log that was closed is never opened again, and a log id is admitted once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    String,
    Table,
    Text,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sealwright.admission.model import Admission, EvidenceLevel
from sealwright.errors import Refused, Unavailable
from sealwright.keys.model import Incarnation, KeyState
from sealwright.store.db import metadata, reader
from sealwright.store.keys import keys

admissions = Table(
    "admissions",
    metadata,
    Column("log_id", String(16), primary_key=True),
    Column("origin", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("level", String(16), nullable=False),
    Column("statement", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("admitted_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("closed_at", Integer, index=True),
)

_SHOWN = or_(
    *(keys.c.state == state for state in (KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY)),
    (keys.c.state == KeyState.REVOKED) & keys.c.issued_before.is_not(None),
)
_INCARNATIONS = (
    select(admissions)
    .where(
        or_(admissions.c.closed_at.is_(None), admissions.c.log_id.in_(select(keys.c.log_id).where(_SHOWN)))
    )
    .order_by(admissions.c.closed_at.is_not(None), admissions.c.admitted_at, admissions.c.log_id)
)


def _values(admission: Admission) -> dict[str, Any]:
    return {
        "origin": admission.origin,
        "jwk": json.dumps(admission.jwk, sort_keys=True),
        "level": str(admission.level),
        "statement": admission.statement,
        "result": admission.result,
        "admitted_at": admission.admitted_at,
        "expires_at": admission.expires_at,
    }


def _admission(row: RowMapping) -> Admission:
    fields = dict(row)
    fields |= {"jwk": json.loads(fields["jwk"]), "level": EvidenceLevel(fields["level"])}
    return Admission(**fields)


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    """One transaction. A full disk or a locked database is `Unavailable`: the supervisor outlives both."""
    try:
        with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise Unavailable(
            "store_unavailable", "the state database cannot be written now", str(error)
        ) from error


class SqlAdmissionStore:
    """Admissions of every incarnation that ever served."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def get(self, log_id: str) -> Admission | None:
        """An admission, closed or not."""
        with self._reader.connect() as connection:
            query = select(admissions).where(admissions.c.log_id == log_id)
            row = connection.execute(query).mappings().first()
        return _admission(row) if row else None

    def open(self) -> list[Admission]:
        """Admissions whose log is not closed, oldest first."""
        query = select(admissions).where(admissions.c.closed_at.is_(None))
        with self._reader.connect() as connection:
            rows = connection.execute(
                query.order_by(admissions.c.admitted_at, admissions.c.log_id)
            ).mappings()
            return [_admission(row) for row in rows]

    def add(self, admission: Admission) -> None:
        """Insert one; `already_admitted` when the log was ever admitted."""
        try:
            with _writing(self._engine) as connection:
                connection.execute(insert(admissions).values(log_id=admission.log_id, **_values(admission)))
        except IntegrityError as error:
            raise Refused("already_admitted", f"{admission.log_id} was admitted before") from error

    def renew(self, admission: Admission) -> None:
        """Replace the admission of an open log; `not_open` when it is closed or unknown."""
        change = (
            update(admissions)
            .where(admissions.c.log_id == admission.log_id, admissions.c.closed_at.is_(None))
            .values(**_values(admission))
        )
        with _writing(self._engine) as connection:
            if connection.execute(change).rowcount != 1:
                raise Refused("not_open", f"{admission.log_id} is closed or was never admitted")

    def close(self, log_id: str, at: int) -> None:
        """Close a log for good; closing a closed one changes nothing."""
        change = (
            update(admissions)
            .where(admissions.c.log_id == log_id, admissions.c.closed_at.is_(None))
            .values(closed_at=at)
        )
        with _writing(self._engine) as connection:
            connection.execute(change)

    def all(self) -> list[Admission]:
        """Every admission, oldest first."""
        query = select(admissions).order_by(admissions.c.admitted_at, admissions.c.log_id)
        with self._reader.connect() as connection:
            return [_admission(row) for row in connection.execute(query).mappings()]

    def counts(self) -> tuple[int, int]:
        """How many there are, and how many of them are closed."""
        query = select(func.count(), func.count(admissions.c.closed_at)).select_from(admissions)
        with self._reader.connect() as connection:
            every, closed = connection.execute(query).one()
        return every, closed

    def ever(self) -> bool:
        """Whether anything was ever admitted here."""
        with self._reader.connect() as connection:
            return connection.execute(select(admissions.c.log_id).limit(1)).first() is not None

    def incarnations(self) -> list[Incarnation]:
        """Open incarnations first, then closed ones with keys that are still published."""
        with self._reader.connect() as connection:
            rows = [_admission(row) for row in connection.execute(_INCARNATIONS).mappings()]
        return [
            Incarnation(
                log_id=row.log_id,
                origin=row.origin,
                jwk=row.jwk,
                evidence=str(row.level),
                admission=row.statement,
                live=row.closed_at is None,
            )
            for row in rows
        ]
