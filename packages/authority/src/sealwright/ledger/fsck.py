"""Re-reads everything that the ledger stores and names what is wrong, down to the byte.

Checks, for each log: entries are there without a gap and parse; each private record has the digest in its
leaf; the stored head is signed by the log's key and covers exactly the leaves; the stored frontier agrees;
the published checkpoint is signed and covers a prefix; every bundle and tile that is there, of whatever size,
has the bytes that the leaves give; the log list holds and its heads are those of the leaves. The log id must
be that of the key. It changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.errors import Refused
from sealwright.ledger.files import CHECKPOINT, LedgerFiles
from sealwright.ledger.folder import Folder
from sealwright.ledger.fsck_files import FileCheck
from sealwright.ledger.fsck_list import CheckedList, check_list
from sealwright.ledger.merkle import Frontier, leaf_hash
from sealwright.ledger.model import Entry, EventLeaf, Log, StoredList, TokenLeaf, parse_leaf
from sealwright.ledger.note import Checkpoint, Verifier, open_checkpoint, parse_vkey
from sealwright.ledger.ports import FileStore, LedgerStore
from sealwright.ledger.tiles import WIDTH
from sealwright_validate.log_list import ListedLog

CHUNK = 32 * WIDTH
LOG_ID_BYTES = 10
Progress = Callable[[str, int, int], None]
"""(log id, leaves done, leaves in all)."""
Watch = Callable[[str, Entry, TokenLeaf | EventLeaf], None]
"""(log id, entry, its leaf)."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong. `index` is the leaf concerned, `byte` the first wrong byte in `where`."""

    log_id: str
    code: str
    where: str
    index: int | None
    byte: int | None
    message: str


@dataclass(slots=True)
class Report:
    """What a run found."""

    logs: int = 0
    leaves: int = 0
    records: int = 0
    tokens: int = 0
    files: int = 0
    damages: list[Damage] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages


@dataclass(frozen=True, slots=True)
class ListToCheck:
    """The log list and the roots that it is checked with, in the order of their versions."""

    stored: StoredList | None
    roots: list[bytes]


def check_ledger(
    store: LedgerStore,
    directory: Path,
    progress: Progress | None = None,
    *,
    cold: FileStore | None = None,
    listed: ListToCheck | None = None,
    watch: Watch | None = None,
) -> Report:
    """Check every log in the store and every log directory on disk.

    Args:
        store: the durable rows.
        directory: where the tlog-tiles files are.
        progress: called now and then.
        cold: where old segments were moved to.
        listed: the log list, where it is to be checked as well.
        watch: is given each leaf that parses, in the order of its log.
    """
    report = Report()
    checked = CheckedList({}) if listed is None else check_list(directory, listed.stored, listed.roots)
    report.damages += [Damage("", f.code, f.where, None, f.byte, f.message) for f in checked.faults]
    known = store.logs()
    names = {stored.log_id for stored in known}
    files = LedgerFiles(directory, cold)
    for stored in known:
        _LogCheck(store, stored, files, report, (progress, watch), checked.logs.get(stored.log_id)).run()
        report.logs += 1
    for log in checked.logs.values():
        if log.log_id not in names and log.size:
            message = "the log list names a log that is not stored"
            report.damages.append(Damage(log.log_id, "leaf_missing", "log_list", 0, None, message))
    for top in (Folder(directory), cold):
        for found in top.folders() if top is not None else ():
            if found not in names:
                message = "files of a log that is not stored"
                report.damages.append(Damage(found, "unknown_log", f"{top}/{found}", None, None, message))
    return report


class _LogCheck:
    def __init__(
        self,
        store: LedgerStore,
        stored: Log,
        files: LedgerFiles,
        report: Report,
        told: tuple[Progress | None, Watch | None],
        listed: ListedLog | None,
    ) -> None:
        self._store = store
        self._log = stored
        self._where = files
        self._report = report
        self._progress, self._watch = told
        self._listed = listed
        self._frontier = Frontier()
        self._first_difference: int | None = None

    def _damage(
        self, code: str, where: str, message: str, index: int | None = None, byte: int | None = None
    ) -> None:
        self._report.damages.append(Damage(self._log.log_id, code, where, index, byte, message))

    def run(self) -> None:
        """Check one log."""
        verifier = self._verifier()
        published = self._published(verifier) if verifier else None
        files = FileCheck(
            self._where.tops, self._log.log_id, published.size if published else 0, self._damage
        )
        # Files are written behind the rows: what was found above, the rows read from here on cover.
        self._log = self._store.log(self._log.log_id) or self._log
        heads = self._heads(published)
        for entry in self._entries():
            self._check_entry(entry)
            self._frontier.append(leaf_hash(entry.leaf))
            files.add(entry.leaf)
            if self._frontier.size in heads:
                self._check_heads(heads[self._frontier.size])
        whole = self._frontier.size == self._log.size
        if whole:
            files.finish()
        self._first_difference = files.first_difference
        self._check_head(verifier)
        if published is not None and published.size > self._frontier.size:
            message = f"the published head covers {published.size} leaves, {self._frontier.size} are stored"
            self._damage("leaf_missing", "leaves", message, index=self._frontier.size)
        self._check_listed()
        self._report.files += files.checked

    def _heads(self, published: Checkpoint | None) -> dict[int, list[tuple[str, str, bytes]]]:
        """By size: (code, where, root) of heads that the leaves must lead to on the way."""
        heads: dict[int, list[tuple[str, str, bytes]]] = {}
        if published is not None:
            heads.setdefault(published.size, []).append(("published_root", "checkpoint", published.root))
        if self._listed is not None and self._listed.size:
            listed = ("listed_root", "log_list", self._listed.root)
            heads.setdefault(self._listed.size, []).append(listed)
        return heads

    def _check_heads(self, heads: list[tuple[str, str, bytes]]) -> None:
        for code, where, root in heads:
            if root != self._frontier.root():
                message = "this head covers other leaves than are stored"
                self._damage(code, where, message)

    def _check_listed(self) -> None:
        if self._listed is None:
            return
        size = self._listed.size
        if size > self._log.size or (self._listed.closed_at is not None and size != self._log.size):
            message = f"the log list names {size} leaves, {self._log.size} are stored"
            self._damage("leaf_missing", "log_list", message, index=min(size, self._log.size))

    def _verifier(self) -> Verifier | None:
        try:
            verifier = parse_vkey(self._log.vkey)
        except Refused as error:
            self._damage("log_key", "logs.vkey", error.public)
            return None
        spki = verifier.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        expected = base64.b32encode(hashlib.sha256(spki).digest()[:LOG_ID_BYTES]).decode().lower()
        if expected != self._log.log_id or not self._log.origin.endswith("/" + self._log.log_id):
            self._damage("log_key", "logs.vkey", "the log id is not that of its key and origin")
        return verifier

    def _published(self, verifier: Verifier) -> Checkpoint | None:
        file = self._where.find(self._log.log_id, CHECKPOINT)
        if file is None:
            return None  # not published yet; the publisher makes the files from the store at the next start
        try:
            return open_checkpoint(file.read_text(encoding="utf-8"), verifier)
        except (Refused, UnicodeDecodeError) as error:
            self._damage("published_checkpoint", str(file), str(error))
            return None

    def _entries(self) -> Iterator[Entry]:
        next_index = 0
        while next_index < self._log.size:
            entries = self._store.entries(
                self._log.log_id, next_index, min(self._log.size, next_index + CHUNK)
            )
            for entry in entries:
                if entry.index != next_index:
                    break
                yield entry
                next_index += 1
            if not entries or entries[-1].index + 1 != next_index:
                message = f"leaf {next_index} is missing; the stored head covers {self._log.size}"
                self._damage("leaf_missing", "leaves", message, index=next_index)
                return
            if self._progress:
                self._progress(self._log.log_id, next_index, self._log.size)
        if not self._has_grown() and self._store.entries(self._log.log_id, next_index, next_index + 1):
            message = "a leaf is stored that the head does not cover"
            self._damage("leaf_beyond_head", "leaves", message, index=self._log.size)

    def _has_grown(self) -> bool:
        """Whether the log goes on while it is checked; what came later is the next run's."""
        current = self._store.log(self._log.log_id)
        return current is not None and current.size > self._log.size

    def _check_entry(self, entry: Entry) -> None:
        self._report.leaves += 1
        try:
            leaf = parse_leaf(entry.leaf)
        except Refused as error:
            self._damage("malformed_leaf", "leaves", error.public, index=entry.index, byte=0)
            return
        if self._watch is not None:
            self._watch(self._log.log_id, entry, leaf)
        if isinstance(leaf, TokenLeaf):
            self._report.tokens += 1
        if entry.record is None:
            return
        self._report.records += 1
        if not isinstance(leaf, TokenLeaf) or hashlib.sha256(entry.record).digest() != leaf.record:
            message = "the private record is not the one that the leaf names"
            self._damage("record_digest", "leaves.record", message, index=entry.index)

    def _check_head(self, verifier: Verifier | None) -> None:
        if verifier is None or self._log.size == 0:
            return
        try:
            head = open_checkpoint(self._log.checkpoint, verifier)
        except Refused as error:
            self._damage("stored_checkpoint", "logs.checkpoint", str(error))
            return
        if head.size != self._log.size:
            message = f"the head covers {head.size} leaves, the log says {self._log.size}"
            self._damage("stored_checkpoint", "logs.size", message, index=min(head.size, self._log.size))
        elif self._frontier.size == head.size and head.root != self._frontier.root():
            index = self._first_difference
            message = "the leaves are not those that the signer's head covers" + (
                f"; the published files differ first at leaf {index}" if index is not None else ""
            )
            self._damage("root_mismatch", "leaves", message, index=index)
        stored = self._store.frontier(self._log.log_id)
        if stored != self._frontier.nodes and not self._has_grown():
            self._damage("frontier", "logs.frontier", "the stored frontier is not that of the leaves")
