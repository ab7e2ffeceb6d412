"""Puts retention together: keys, leaves, cold storage, the audit trail.

Every change is audited before it is made. May never purge a record that `ledger.retention` keeps.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from sealwright.admin.model import Details
from sealwright.admin.service import Auditor
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.config.retention import Retention, retention_of
from sealwright.errors import Misconfigured, Refused
from sealwright.keys.announced import announced_until, require_vouched
from sealwright.keys.model import Key, KeyState
from sealwright.ledger.archive import Archive, Due
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.model import ColdSegment, Entry, Place, TokenLeaf, Tombstone, parse_leaf
from sealwright.ledger.retention import KeyTrust, kept_until, require_purgeable
from sealwright.store.admin import SqlAuditStore
from sealwright.store.cold import ColdLeaves
from sealwright.store.db import make_tables, open_engine, require_readable
from sealwright.store.digests import SqliteDigestIndex
from sealwright.store.keys import SqlKeyStore
from sealwright.store.ledger import SqlLedgerStore
from sealwright.wiring.cold import cold_files
from sealwright.wiring.stores import Stores

Audit = Callable[[str, str, Details], object]
"""(action, subject, details): returns when the entry is kept; raises `Unavailable` when it is not."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Retention of one state directory. Works while the authority runs and while it does not."""

    retention: Retention
    store: SqlLedgerStore
    keys: SqlKeyStore
    cold: ColdLeaves
    archive: Archive
    digests: SqliteDigestIndex
    audit: Audit
    clock: Clock

    def trusts(self) -> list[KeyTrust]:
        """Every key that ever was, the first to go first."""
        found = [self._trust(key) for key in self.keys.all()]
        return sorted(found, key=lambda key: (key.trusted_until, key.kid))

    def over(self) -> list[KeyTrust]:
        """Keys whose private records may go, and that have some."""
        now = self.clock.now()
        return [
            key for key in self.trusts() if kept_until(key, self.retention) <= now and self._has_records(key)
        ]

    def due(self) -> list[Due]:
        """Segments that may move to cold storage."""
        return self.archive.due(self.clock.now(), self.retention.hot)

    def move(self, due: Due) -> ColdSegment:
        """Move a segment."""
        self.digests.follow()  # the index reads rows, and these are about to leave
        self.audit("move_segment", due.log_id, {"first": due.first, "end": due.end})
        return self.archive.move(due, self.clock.now())

    def purge(self, key: KeyTrust) -> int:
        """Remove the private records of a key whose time is over; how many. Its leaves stay.

        Raises:
            Refused: `retained`, or `key_row` when the ledger does not say what the key's row says.
        """
        require_purgeable(key, self.retention, self.clock.now())
        self._require_vouched(key.kid)
        self.audit("purge_records", key.kid, {"trusted_until": key.trusted_until})
        raw = base64.urlsafe_b64decode(key.kid + "=")
        gone = self.store.purge_records(raw)
        for segment in self.cold.segments(key.log_id):
            gone += self._rewrite(segment, lambda entry: _is_of(entry, raw))
        return gone

    def erase(self, place: Place, reason: str) -> Tombstone:
        """Erase one private record, as privacy law may ask: leaf and tombstone stay, and every proof.

        Raises:
            Refused: `no_record`.
        """
        found = self.store.entries(place.log_id, place.index, place.index + 1)
        if not found or found[0].record is None:
            raise Refused("no_record", "there is no private record at this place")
        tombstone = Tombstone(place.log_id, place.index, int(self.clock.now()), reason)
        self.audit("erase_record", f"{place.log_id}.{place.index}", {"reason": reason})
        self.store.erase_record(tombstone)
        for segment in self.cold.segments(place.log_id):
            if segment.first <= place.index < segment.end:
                self._rewrite(segment, lambda entry: entry.index == place.index)
        return tombstone

    def _trust(self, key: Key) -> KeyTrust:
        """The later of what the row and the announcement in the ledger say: a row can be changed."""
        announced = announced_until(key, self.store.leaf)
        revoked = key.changed_at if key.state is KeyState.REVOKED else None
        return KeyTrust(key.kid, key.log_id, max(key.verify_until, announced), revoked)

    def _require_vouched(self, kid: str) -> None:
        key = self.keys.get(kid)
        log = self.store.log(key.log_id) if key is not None else None
        if key is None or log is None:
            raise Refused("key_row", f"there is no key {kid}, or no log of it")
        require_vouched(key, self.store.leaf, log.vkey)

    def _rewrite(self, segment: ColdSegment, drop: Callable[[Entry], bool]) -> int:
        entries = self.cold.entries(segment.log_id, segment.first, segment.end)
        kept = [Entry(e.index, e.leaf, None) if e.record is not None and drop(e) else e for e in entries]
        gone = sum(before.record != after.record for before, after in zip(entries, kept, strict=True))
        if gone:
            self.cold.replace(segment, self.cold.write(segment.log_id, kept, segment.moved_at))
        return gone

    def _has_records(self, key: KeyTrust) -> bool:
        raw = base64.urlsafe_b64decode(key.kid + "=")
        return self.store.has_records(raw) or any(
            entry.record is not None and _is_of(entry, raw)
            for segment in self.cold.segments(key.log_id)
            for entry in self.cold.entries(segment.log_id, segment.first, segment.end)
        )


def _is_of(entry: Entry, kid: bytes) -> bool:
    leaf = parse_leaf(entry.leaf)
    return isinstance(leaf, TokenLeaf) and leaf.kid == kid


def keeper_of(config: Config, clock: Clock, stores: Stores, audit: Audit) -> Keeper:
    """The retention of what an authority has open."""
    files = LedgerFiles(config.state.path / "ledger", stores.cold)
    return Keeper(
        retention=retention_of(config.retention),
        store=stores.ledger,
        keys=stores.keys,
        cold=stores.segments,
        archive=Archive(stores.ledger, files, stores.segments),
        digests=stores.digests,
        audit=audit,
        clock=clock,
    )


def open_keeper(config: Config, clock: Clock) -> Keeper:
    """The retention of this configuration's state directory.

    Raises:
        Misconfigured: there is no state, or it cannot be read.
    """
    database = config.state.path / "sealwright.db"
    if not database.is_file():
        raise Misconfigured("no_state", f"there is no ledger in {config.state.path}; name one with --state")
    engine: Engine = open_engine(f"sqlite:///{database}")
    require_readable(engine)
    make_tables(engine)
    elsewhere = cold_files(config)
    cold = ColdLeaves(engine, elsewhere)
    store = SqlLedgerStore(engine, cold)
    files = LedgerFiles(config.state.path / "ledger", elsewhere)
    auditor = Auditor(SqlAuditStore(engine), clock)

    def audit(action: str, subject: str, details: Details) -> None:
        asyncio.run(auditor.audit(f"operator:uid-{os.getuid()}", action, subject, details))

    return Keeper(
        retention=retention_of(config.retention),
        store=store,
        keys=SqlKeyStore(engine),
        cold=cold,
        archive=Archive(store, files, cold),
        digests=SqliteDigestIndex(config.state.path),
        audit=audit,
        clock=clock,
    )
