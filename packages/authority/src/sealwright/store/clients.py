"""`ClientStore` and `ReplayStore` on SQL. Secrets are stored as digests only."""

from __future__ import annotations

import json
from builtins import list as sequence
from collections.abc import Callable

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from sealwright.errors import Refused
from sealwright.issuer.model import AuthMethod, Client, ClientKind
from sealwright.store.db import available, metadata, reader

clients = Table(
    "clients",
    metadata,
    Column("client_id", String(128), primary_key=True),
    Column("realm", Text, nullable=False),
    Column("secret_digest", LargeBinary),
    Column("audiences", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("auth_method", String(32), nullable=False),
    Column("jwks", Text),
    Column("kind", String(16), nullable=False),
    Column("enabled", Boolean, nullable=False),
)
assertions = Table(
    "assertions",
    metadata,
    Column("client_id", String(128), primary_key=True),
    Column("assertion_id", String(256), primary_key=True),
    Column("expires_at", Integer, nullable=False, index=True),
)


Disabled = Callable[[Connection, Client], None]
"""Is given the client that was disabled, inside the transaction that disables it."""


def _client(row: RowMapping) -> Client:
    return Client(
        client_id=row["client_id"],
        realm=row["realm"],
        secret_digest=row["secret_digest"],
        audiences=tuple(json.loads(row["audiences"])),
        scopes=tuple(json.loads(row["scopes"])),
        auth_method=AuthMethod(row["auth_method"]),
        jwks=json.loads(row["jwks"]) if row["jwks"] else None,
        kind=ClientKind(row["kind"]),
        enabled=row["enabled"],
    )


class SqlClientStore:
    """Registered clients."""

    def __init__(self, engine: Engine, disabled: Disabled | None = None) -> None:
        self._engine = engine
        self._reader = reader(engine)
        self._disabled = disabled

    def get(self, client_id: str) -> Client | None:
        """A client, enabled or not."""
        with available(), self._reader.connect() as connection:
            row = (
                connection.execute(select(clients).where(clients.c.client_id == client_id)).mappings().first()
            )
        return _client(row) if row else None

    def add(self, client: Client) -> None:
        """Register a client; `client_exists` when the id is taken."""
        values = {
            "client_id": client.client_id,
            "realm": client.realm,
            "secret_digest": client.secret_digest,
            "audiences": json.dumps(client.audiences),
            "scopes": json.dumps(client.scopes),
            "auth_method": client.auth_method,
            "jwks": json.dumps(client.jwks) if client.jwks else None,
            "kind": client.kind,
            "enabled": client.enabled,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(clients).values(values))
        except IntegrityError as error:
            raise Refused("client_exists", f"client {client.client_id} is registered already") from error

    def list(self) -> sequence[Client]:
        """Every client, by id."""
        with self._reader.connect() as connection:
            rows = connection.execute(select(clients).order_by(clients.c.client_id)).mappings()
            return [_client(row) for row in rows]

    def set_enabled(self, client_id: str, *, enabled: bool) -> None:
        """Enable or disable; `unknown_client` when there is none."""
        change = update(clients).where(clients.c.client_id == client_id).values(enabled=enabled)
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount != 1:
                raise Refused("unknown_client", f"no client {client_id}")
            if not enabled and self._disabled is not None:
                row = connection.execute(select(clients).where(clients.c.client_id == client_id))
                self._disabled(connection, _client(row.mappings().one()))


class SqlReplayStore:
    """Client assertions that were used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def use_once(self, client_id: str, assertion_id: str, expires_at: int, now: int) -> bool:
        """True the first time, durably; false ever after until the assertion has expired."""
        try:
            with available(), self._engine.begin() as connection:
                connection.execute(delete(assertions).where(assertions.c.expires_at < now))
                connection.execute(
                    insert(assertions).values(
                        client_id=client_id, assertion_id=assertion_id, expires_at=expires_at
                    )
                )
        except IntegrityError:
            return False
        return True
