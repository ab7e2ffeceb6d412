"""`KeyStore` on SQL: keys, their states, manifests.

A key's state moves forward only; `settle` refuses to move it back whatever the caller believes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import RowMapping

from sealwright.errors import Misconfigured, Refused
from sealwright.keys.model import Key, KeyState, Manifest, Tombstone
from sealwright.store.db import metadata, reader, writing

keys = Table(
    "keys",
    metadata,
    Column("kid", String(43), primary_key=True),
    Column("realm", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("log_id", String(16), nullable=False),
    Column("announcement", Text, nullable=False),
    Column("ledger_index", Integer, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("use_from", Integer, nullable=False),
    Column("use_until", Integer, nullable=False),
    Column("verify_until", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("changed_at", Integer, nullable=False),
    Column("revoked_reason", Text),
    Column("issued_before", Integer),
)
manifests = Table(
    "manifests",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("issued_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("jws", Text, nullable=False),
    Column("admission", Text, nullable=False),
    Column("content", String(64), nullable=False),
)

_BY_KID = select(keys).where(keys.c.kid == bindparam("kid"))
_TOMBSTONES = (
    select(keys.c.kid, keys.c.changed_at, keys.c.state, keys.c.jwk, keys.c.verify_until)
    .where(
        or_(
            (keys.c.state == KeyState.RETIRED)
            & or_(
                keys.c.changed_at >= bindparam("retired_since"),
                keys.c.verify_until >= bindparam("retired_since"),
            ),
            (keys.c.state == KeyState.REVOKED)
            & keys.c.issued_before.is_(None)
            & (keys.c.changed_at >= bindparam("revoked_since")),
        )
    )
    .order_by(keys.c.changed_at, keys.c.kid)
)
_LATEST = select(manifests).order_by(manifests.c.version.desc()).limit(1)
_NEWEST = select(func.max(manifests.c.version))
_ADD_KEY = insert(keys)
_ADD_MANIFEST = insert(manifests)
_SETTLE = (
    update(keys)
    .where(keys.c.kid == bindparam("which"), keys.c.state.in_(bindparam("before", expanding=True)))
    .values(
        state=bindparam("to"),
        changed_at=bindparam("at"),
        revoked_reason=bindparam("reason"),
        issued_before=bindparam("bound"),
    )
)
"""Statements that every tick needs are made once: making them takes longer than running them."""

_BEFORE: dict[KeyState, tuple[KeyState, ...]] = {
    KeyState.ACTIVE: (KeyState.STAGED,),
    KeyState.VERIFY_ONLY: (KeyState.STAGED, KeyState.ACTIVE),
    KeyState.RETIRED: (KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY),
    KeyState.REVOKED: (KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY, KeyState.RETIRED),
}


_UNRETIRED = (
    select(keys)
    .where(
        or_(
            *(keys.c.state == state for state in (KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY)),
            (keys.c.state == KeyState.REVOKED) & (keys.c.verify_until >= keys.c.changed_at),
        )
    )
    .order_by(keys.c.use_from)
)


Revoked = Callable[[Connection, Key], None]
"""Is given the key as it was revoked, inside the transaction that revokes it."""


def _key(row: RowMapping) -> Key:
    fields = dict(row)
    try:
        return Key(**{**fields, "jwk": json.loads(fields["jwk"]), "state": KeyState(fields["state"])})
    except ValueError as error:
        text = f"the row of key {fields['kid']} cannot be read: somebody changed it"
        raise Misconfigured("key_row", text, str(error)) from error


class SqlKeyStore:
    """Durable key states."""

    def __init__(self, engine: Engine, revoked: Revoked | None = None) -> None:
        self._engine = engine
        self._reader = reader(engine)
        self._revoked = revoked

    def unretired(self) -> list[Key]:
        """Every key that is not retired, and revoked ones whose last token could still live."""
        with self._reader.connect() as connection:
            return [_key(row) for row in connection.execute(_UNRETIRED).mappings()]

    def get(self, kid: str) -> Key | None:
        """A key in any state."""
        with self._reader.connect() as connection:
            row = connection.execute(_BY_KID, {"kid": kid}).mappings().first()
        return _key(row) if row else None

    def all(self) -> list[Key]:
        """Every key that ever was, oldest first."""
        with self._reader.connect() as connection:
            return [
                _key(row) for row in connection.execute(select(keys).order_by(keys.c.use_from)).mappings()
            ]

    def add(self, key: Key) -> None:
        """Insert a key."""
        with writing(self._engine) as connection:
            connection.execute(
                _ADD_KEY,
                {
                    "kid": key.kid,
                    "realm": key.realm,
                    "algorithm": key.algorithm,
                    "log_id": key.log_id,
                    "announcement": key.announcement,
                    "ledger_index": key.ledger_index,
                    "jwk": json.dumps(key.jwk, sort_keys=True),
                    "use_from": key.use_from,
                    "use_until": key.use_until,
                    "verify_until": key.verify_until,
                    "state": key.state,
                    "changed_at": key.changed_at,
                },
            )

    def settle(
        self,
        kid: str,
        state: KeyState,
        at: int,
        *,
        reason: str | None = None,
        issued_before: int | None = None,
    ) -> None:
        """Move a key to a later state; `state_goes_back` otherwise."""
        before = _BEFORE.get(state, ())
        with writing(self._engine) as connection:
            change = {"at": at, "reason": reason, "bound": issued_before}
            moved = connection.execute(_SETTLE, {"which": kid, "before": before, "to": state, **change})
            if moved.rowcount != 1:
                raise Refused("state_goes_back", f"this key cannot become {state}", kid)
            if state is KeyState.REVOKED and self._revoked is not None:
                row = connection.execute(select(keys).where(keys.c.kid == kid)).mappings().one()
                self._revoked(connection, _key(row))

    def tombstones(self, retired_since: int, revoked_since: int) -> list[Tombstone]:
        """Keys retired or over, or revoked without a bound, since then (seconds since 1970)."""
        since = {"retired_since": retired_since, "revoked_since": revoked_since}
        with self._reader.connect() as connection:
            return [
                Tombstone(kid, at, state, json.loads(jwk), over)
                for kid, at, state, jwk, over in connection.execute(_TOMBSTONES, since)
            ]

    def latest_manifest(self) -> Manifest | None:
        """The newest manifest that was stored."""
        with self._reader.connect() as connection:
            row = connection.execute(_LATEST).mappings().first()
        return Manifest(**row) if row else None

    def manifests(self) -> Iterator[Manifest]:
        """Every manifest, oldest first."""
        with self._reader.connect() as connection:
            for row in connection.execute(select(manifests).order_by(manifests.c.version)).mappings():
                yield Manifest(**row)

    def add_manifest(self, manifest: Manifest) -> None:
        """Store a manifest; `manifest_goes_back` unless its version is newer than every stored one."""
        with writing(self._engine) as connection:
            newest = connection.execute(_NEWEST).scalar()
            if newest is not None and manifest.version <= newest:
                raise Refused("manifest_goes_back", f"version {newest} is stored already")
            connection.execute(
                _ADD_MANIFEST,
                {
                    "version": manifest.version,
                    "issued_at": manifest.issued_at,
                    "expires_at": manifest.expires_at,
                    "jws": manifest.jws,
                    "admission": manifest.admission,
                    "content": manifest.content,
                },
            )
