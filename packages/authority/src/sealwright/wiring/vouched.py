"""What the leaves of the ledger vouch for beside themselves: `fsck` compares the rows of the state with them.

Keys with their announcements, manifests and audit entries with their statements, and private records that are
gone with what may take them away: a tombstone, a purge, or a crash before a token left, each of them an audit
entry (or it was so before such entries were made: `set_baseline`). May never take a row's word where a leaf
says it: whoever can write to the database can write any row.

What no leaf tells is not seen here: a manifest or an admission that was removed, and audit entries that no
signer has stated yet.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sealwright.admin.model import AuditEntry, Details
from sealwright.admin.rules import broken_at
from sealwright.admin.service import Auditor
from sealwright.config.retention import KEEP_FLOOR
from sealwright.errors import Misconfigured, Refused
from sealwright.keys.announced import announced_until, unannounced
from sealwright.keys.model import Key
from sealwright.ledger.files import CHECKPOINT, LedgerFiles
from sealwright.ledger.fsck import Damage
from sealwright.ledger.model import Entry, EventLeaf, TokenLeaf
from sealwright.ledger.ports import LedgerStore
from sealwright.store.admin import SqlAuditStore
from sealwright.store.keys import SqlKeyStore

ERASED, PURGED, UNRECORDED = "erase_record", "purge_records", "leaves_without_record"
"""Actions of the audit trail after which a leaf of a token has no private record."""
BASELINE = "records_before"
"""Sizes of the logs that were there before the reasons were written down; the first such entry counts."""
MAX_PENDING = 4_096
"""Leaves that a signer holds until they are durable: more cannot have lost their records at once."""
PAGE = 1_000
YOUNG = 60
"""Seconds of a log's life in which nothing of it need be published: files follow the leaves."""


@dataclass(slots=True)
class _Reasons:
    """Why records may be gone, as the trail says."""

    erased: set[str] = field(default_factory=set)
    purged: dict[bytes, float] = field(default_factory=dict)
    unrecorded: dict[str, list[range]] = field(default_factory=dict)
    before: dict[str, int] | None = None

    def take(self, entry: AuditEntry) -> None:
        """Take the entries of a trail in order. What says nothing that can be read is no reason."""
        first, end = entry.details.get("first"), entry.details.get("end")
        if entry.action == ERASED:
            self.erased.add(entry.subject)
        elif entry.action == PURGED:
            with contextlib.suppress(ValueError):
                self.purged.setdefault(base64.urlsafe_b64decode(entry.subject + "="), entry.at)
        elif entry.action == BASELINE and self.before is None:
            self.before = {name: size for name, size in entry.details.items() if isinstance(size, int)}
        elif entry.action == UNRECORDED and isinstance(first, int) and isinstance(end, int):
            leaves = range(first, min(end, first + MAX_PENDING))
            self.unrecorded.setdefault(entry.subject, []).append(leaves)

    def excuse(self, log_id: str, index: int, kid: bytes) -> bool:
        """Whether the record of this leaf may be gone."""
        return (
            kid in self.purged
            or f"{log_id}.{index}" in self.erased
            or any(index in leaves for leaves in self.unrecorded.get(log_id, ()))
            or index < (self.before or {}).get(log_id, 0)
        )


@dataclass(slots=True)
class Vouched:
    """The rows of a state directory. Hand it to `check_ledger` as `watch`, then ask for `damages`.

    Made before the leaves are read: what the authority writes meanwhile is the next run's.
    """

    ledger: LedgerStore
    keys: SqlKeyStore
    trail: SqlAuditStore
    files: LedgerFiles
    _life: dict[str, tuple[int, int]] = field(default_factory=dict)
    _stated: dict[str, set[str]] = field(default_factory=dict)
    _signing: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    _gone: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    _reasons: _Reasons = field(default_factory=_Reasons)
    _unstated: set[int] = field(default_factory=set)
    _last: int = 0
    _manifest: int = 0

    def prepare(self) -> None:
        """Read which records may be gone, and up to where the leaves will vouch for rows."""
        for entry in self._entries():
            self._reasons.take(entry)
            self._last = entry.seq
            if not entry.stated:
                self._unstated.add(entry.seq)
        newest = self.keys.latest_manifest()
        self._manifest = newest.version if newest is not None else 0

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
        if entry.record is None and not self._reasons.excuse(log_id, entry.index, leaf.kid):
            self._gone.setdefault(log_id, []).append((entry.index, leaf.kid))

    def damages(self) -> Iterator[Damage]:
        """What the leaves contradict. Every leaf was watched."""
        yield from self._of_records()
        for log_id, (first, last) in self._life.items():
            if last - first > YOUNG and self.files.find(log_id, CHECKPOINT) is None:
                message = "nothing of this log is published; `ledger fsck --repair` makes its files"
                yield Damage(log_id, "not_published", CHECKPOINT, 0, None, message)
        yield from self._of_keys()
        yield from self._of_manifests()
        yield from self._of_trail()

    def _of_records(self) -> Iterator[Damage]:
        reasons = _Reasons()
        if self._gone:
            for (
                entry
            ) in self._entries():  # again: some may have gone, with a reason, while the leaves were read
                reasons.take(entry)
        for log_id, gone in self._gone.items():
            left = [index for index, kid in gone if not reasons.excuse(log_id, index, kid)]
            if left:
                message = "the private record is gone, and neither a tombstone nor a purge says why"
                more = f" (so are {len(left) - 1} more of this log)" if len(left) > 1 else ""
                yield Damage(log_id, "record_missing", "leaves.record", left[0], None, message + more)

    def _purged_early(self, key: Key, kid: bytes) -> bool:
        at = self._reasons.purged.get(kid)
        return at is not None and at < announced_until(key, self.ledger.leaf) + KEEP_FLOOR

    def _of_keys(self) -> Iterator[Damage]:
        try:
            keys = {base64.urlsafe_b64decode(key.kid + "="): key for key in self.keys.all()}
        except (Misconfigured, ValueError) as error:
            yield Damage("", "key_row", "keys", None, None, f"a key's row cannot be read: {error}")
            return
        for kid, key in keys.items():
            reason = self._contradicted(key)
            if reason is not None:
                yield Damage(key.log_id, "key_row", "keys", None, None, f"key {key.kid}: {reason}")
            elif self._purged_early(key, kid):
                message = f"the trail has a purge of key {key.kid}, whose time is not over"
                yield Damage(key.log_id, "purged_early", "audit", None, None, message)
        for kid, (log_id, index) in self._signing.items():
            if kid not in keys:
                name = base64.urlsafe_b64encode(kid).decode().rstrip("=")
                message = f"a token of key {name}, which has no row"
                yield Damage(log_id, "key_missing", "keys", index, None, message)

    def _contradicted(self, key: Key) -> str | None:
        try:
            reason = unannounced(key, self.ledger.leaf)
        except (ValueError, TypeError, AttributeError, Refused) as error:
            return f"the row cannot be read: {error}"
        return None if reason is None else f"the row is {reason}"

    def _of_manifests(self) -> Iterator[Damage]:
        stated = self._stated.get("manifest", set())
        for manifest in self.keys.manifests():
            jws = manifest.jws if isinstance(manifest.jws, str) else ""
            known = hashlib.sha256(jws.encode()).hexdigest() in stated
            if not known and manifest.version <= self._manifest:
                message = f"manifest {manifest.version} is not one that a signer entered"
                yield Damage("", "manifest_row", "manifests", None, None, message)

    def _of_trail(self) -> Iterator[Damage]:
        stated, seen, wrong = self._stated.get("audit", set()), set[str](), list[int]()

        def followed(take: Callable[[str], None]) -> Iterator[AuditEntry]:
            for entry in self._entries():
                take(entry.digest)
                due = entry.seq <= self._last and entry.seq not in self._unstated
                if due and entry.digest not in stated:
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


def set_baseline(auditor: Auditor, trail: SqlAuditStore, ledger: LedgerStore) -> None:
    """Enter once which leaves were there before: why some of their records are gone, nobody wrote down."""
    if trail.has(BASELINE):
        return
    sizes: Details = {stored.log_id: stored.size for stored in ledger.logs() if stored.size}
    auditor.write("system:authority", BASELINE, "ledger", sizes)
