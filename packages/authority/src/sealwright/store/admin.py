"""The audit trail, change requests and consents on SQLAlchemy Core. Never decides whether something is
approved.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from sealwright.admin.model import Action, AuditEntry, ChangeRequest, Consent, Details
from sealwright.errors import Refused
from sealwright.store.db import metadata, reader, transaction

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("stated", Boolean, nullable=False, index=True),
)

change_request = Table(
    "change_request",
    metadata,
    Column("id", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Float, nullable=False),
    Column("granted", Boolean, nullable=False),
)

consent_table = Table(
    "consent",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("at", Float, nullable=False),
)


class SqlAuditStore:
    """`AuditStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def last(self) -> AuditEntry | None:
        """See the port."""
        with transaction(self._reader) as connection:
            row = connection.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).mappings().first()
        return _entry(row) if row is not None else None

    def append(self, entry: AuditEntry) -> None:
        """See the port."""
        row = {**msgspec.structs.asdict(entry), "details": _encoded(entry.details)}
        with transaction(self._engine) as connection:
            try:
                connection.execute(insert(audit), row)
            except IntegrityError as error:
                raise Refused("audit_moved", "Another writer took this number.") from error

    def has(self, action: str) -> bool:
        """Whether there is an entry of this action."""
        query = select(audit.c.seq).where(audit.c.action == action).limit(1)
        with transaction(self._reader) as connection:
            return connection.execute(query).first() is not None

    def page(self, after: int, limit: int) -> list[AuditEntry]:
        """See the port."""
        query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
        with transaction(self._reader) as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def unstated(self, limit: int) -> list[AuditEntry]:
        """See the port."""
        query = select(audit).where(audit.c.stated.is_(False)).order_by(audit.c.seq).limit(limit)
        with transaction(self._reader) as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def mark_stated(self, seq: int) -> None:
        """See the port."""
        with transaction(self._engine) as connection:
            connection.execute(update(audit).where(audit.c.seq == seq).values(stated=True))


class SqlApprovalStore:
    """`ApprovalStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    def add_request(self, request: ChangeRequest) -> None:
        """See the port."""
        row = msgspec.structs.asdict(request)
        row |= {"action": request.action.value, "details": _encoded(request.details), "granted": False}
        with transaction(self._engine) as connection:
            connection.execute(insert(change_request), row)

    def request(self, request_id: str) -> ChangeRequest | None:
        """See the port."""
        query = select(change_request).where(change_request.c.id == request_id)
        with transaction(self._reader) as connection:
            row = connection.execute(query).mappings().first()
        return _request(row) if row is not None else None

    def open_requests(self, since: float) -> list[ChangeRequest]:
        """See the port."""
        query = (
            select(change_request)
            .where(change_request.c.requested_at >= since, change_request.c.granted.is_(False))
            .order_by(change_request.c.requested_at, change_request.c.id)
        )
        with transaction(self._reader) as connection:
            return [_request(row) for row in connection.execute(query).mappings()]

    def add_consent(self, consent: Consent) -> None:
        """See the port."""
        known = select(consent_table.c.at).where(
            consent_table.c.request_id == consent.request_id, consent_table.c.operator == consent.operator
        )
        with transaction(self._engine) as connection:
            if connection.execute(known).first() is None:
                connection.execute(insert(consent_table), msgspec.structs.asdict(consent))

    def consents(self, request_id: str) -> list[Consent]:
        """See the port."""
        query = (
            select(consent_table)
            .where(consent_table.c.request_id == request_id)
            .order_by(consent_table.c.at, consent_table.c.operator)
        )
        with transaction(self._reader) as connection:
            return [Consent(**row) for row in connection.execute(query).mappings()]

    def grant(self, request_id: str) -> None:
        """See the port."""
        statement = (
            update(change_request)
            .where(change_request.c.id == request_id, change_request.c.granted.is_(False))
            .values(granted=True)
        )
        with transaction(self._engine) as connection:
            granted = connection.execute(statement).rowcount
        if granted != 1:
            raise Refused("already_granted", "The approval was handed out before; ask for a new one.")


def _encoded(details: Details) -> str:
    return msgspec.json.encode(details).decode()


def _entry(row: Any) -> AuditEntry:
    try:
        details = msgspec.json.decode(row["details"])
    except (msgspec.DecodeError, TypeError):  # somebody changed it: its digest will say so
        details = None
    return AuditEntry(**{**row, "details": details if isinstance(details, dict) else {"unreadable": True}})


def _request(row: Any) -> ChangeRequest:
    fields = {name: row[name] for name in ChangeRequest.__struct_fields__}
    return ChangeRequest(
        **{**fields, "action": Action(row["action"]), "details": msgspec.json.decode(row["details"])}
    )
