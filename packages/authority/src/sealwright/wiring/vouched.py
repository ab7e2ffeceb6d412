"""What the leaves of the ledger vouch for beside themselves: `fsck` compares the rows of the state with them.

Keys with their announcements, manifests and audit entries with their statements, and private records that are
gone with what may take them away: a tombstone, a purge, or a crash before a token left, each of them an audit
entry. May never take a row's word where a leaf says it: whoever can write to the database can write any row.

What no leaf tells is not seen here: a manifest or an admission that was removed, and audit entries that no
signer has stated yet.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sealwright.admin.model import AuditEntry
from sealwright.admin.rules import broken_at
from sealwright.errors import Misconfigured
from sealwright.keys.announced import unannounced
from sealwright.keys.model import Key
from sealwright.ledger.files import CHECKPOINT, LedgerFiles
from sealwright.ledger.fsck import Damage
from sealwright.ledger.model import Entry, EventLeaf, TokenLeaf
from sealwright.ledger.ports import LedgerStore
from sealwright.store.admin import SqlAuditStore
from sealwright.store.keys import SqlKeyStore

ERASED, PURGED, UNRECORDED = "erase_record", "purge_records", "leaves_without_record"
"""Actions of the audit trail after which a leaf of a token has no private record."""
PAGE = 1_000
YOUNG = 60
"""Seconds of a log's life in which nothing of it need be published: files follow the leaves."""


@dataclass(slots=True)
class _Gone:
    """Records of one log that are gone without a reason."""

    first: int
    count: int = 0


@dataclass(frozen=True, slots=True)
class Vouched:
    """The rows of a state directory. Hand it to `check_ledger` as `watch`, then ask for `damages`."""

    ledger: LedgerStore
    keys: SqlKeyStore
    trail: SqlAuditStore
    files: LedgerFiles
    _life: dict[str, tuple[int, int]] = field(default_factory=dict)
    _stated: dict[str, set[str]] = field(default_factory=dict)
    _signing: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    _gone: dict[str, _Gone] = field(default_factory=dict)
    _erased: set[str] = field(default_factory=set)
    _purged: set[bytes] = field(default_factory=set)
    _unrecorded: dict[str, list[range]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Read from the trail which records may be gone."""
        for entry in self._entries():
            if entry.action == ERASED:
                self._erased.add(entry.subject)
            elif entry.action == PURGED:
                self._purged.add(base64.urlsafe_b64decode(entry.subject + "="))
            elif entry.action == UNRECORDED:
                first, end = entry.details.get("first"), entry.details.get("end")
                if isinstance(first, int) and isinstance(end, int):
                    self._unrecorded.setdefault(entry.subject, []).append(range(first, end))

    def watch(self, log_id: str, entry: Entry, leaf: TokenLeaf | EventLeaf) -> None:
        """Take a leaf, in the order of its log."""
        at = leaf.iat if isinstance(leaf, TokenLeaf) else leaf.members.get("at")
        if isinstance(at, int):
            self._life[log_id] = (self._life.get(log_id, (at,))[0], at)
        if isinstance(leaf, EventLeaf):
            kind, digest = leaf.members.get("type"), leaf.members.get("digest")
            if isinstance(kind, str) and isinstance(digest, str):
                self._stated.setdefault(kind, set()).add(digest)
            return
        self._signing.setdefault(leaf.kid, (log_id, entry.index))
        if entry.record is None and not self._may_be_gone(log_id, entry.index, leaf.kid):
            self._gone.setdefault(log_id, _Gone(entry.index)).count += 1

    def _may_be_gone(self, log_id: str, index: int, kid: bytes) -> bool:
        return (
            kid in self._purged
            or f"{log_id}.{index}" in self._erased
            or any(index in leaves for leaves in self._unrecorded.get(log_id, ()))
        )

    def damages(self) -> Iterator[Damage]:
        """What the leaves contradict. Every leaf was watched."""
        for log_id, gone in self._gone.items():
            message = "the private record is gone, and neither a tombstone nor a purge says why"
            more = f" (so are {gone.count - 1} more of this log)" if gone.count > 1 else ""
            yield Damage(log_id, "record_missing", "leaves.record", gone.first, None, message + more)
        for log_id, (first, last) in self._life.items():
            if last - first > YOUNG and self.files.find(log_id, CHECKPOINT) is None:
                message = "nothing of this log is published; `ledger fsck --repair` makes its files"
                yield Damage(log_id, "not_published", CHECKPOINT, 0, None, message)
        yield from self._of_keys()
        yield from self._of_manifests()
        yield from self._of_trail()

    def _of_keys(self) -> Iterator[Damage]:
        try:
            keys = self.keys.all()
        except Misconfigured as error:
            yield Damage("", error.code, "keys", None, None, error.public)
            return
        for key in keys:
            reason = self._contradicted(key)
            if reason is not None:
                message = f"key {key.kid}: {reason}"
                yield Damage(key.log_id, "key_row", "keys", key.ledger_index, None, message)
        known = {base64.urlsafe_b64decode(key.kid + "=") for key in keys}
        for kid, (log_id, index) in self._signing.items():
            if kid not in known:
                name = base64.urlsafe_b64encode(kid).decode().rstrip("=")
                message = f"a token of key {name}, which has no row"
                yield Damage(log_id, "key_missing", "keys", index, None, message)

    def _contradicted(self, key: Key) -> str | None:
        reason = unannounced(key, self.ledger.leaf)
        return None if reason is None else f"the row is {reason}"

    def _of_manifests(self) -> Iterator[Damage]:
        stated = self._stated.get("manifest", set())
        for manifest in self.keys.manifests():
            if hashlib.sha256(manifest.jws.encode()).hexdigest() not in stated:
                message = f"manifest {manifest.version} is not one that a signer entered"
                yield Damage("", "manifest_row", "manifests", None, None, message)

    def _of_trail(self) -> Iterator[Damage]:
        stated, seen, wrong = self._stated.get("audit", set()), set[str](), list[int]()

        def followed(take: Callable[[str], None]) -> Iterator[AuditEntry]:
            for entry in self._entries():
                take(entry.digest)
                if entry.stated and entry.digest not in stated:
                    wrong.append(entry.seq)
                yield entry

        broken = broken_at(followed(seen.add))
        if broken is not None:
            message = (
                f"audit entry {broken} does not follow from the one before it: a row was changed or removed"
            )
            yield Damage("", "audit_chain", "audit", None, None, message)
            return  # what comes behind it was not read
        for seq in wrong:
            message = f"audit entry {seq} is not what was entered in the ledger"
            yield Damage("", "audit_row", "audit", None, None, message)
        if missing := len(stated - seen):
            message = f"{missing} audit entries are in the ledger and have no row"
            yield Damage("", "audit_missing", "audit", None, None, message)

    def _entries(self) -> Iterator[AuditEntry]:
        after = 0
        while page := self.trail.page(after, PAGE):
            yield from page
            after = page[-1].seq
