"""Re-reads everything that the ledger stores and names what is wrong, down to the byte.

Checks, for each log: entries are there without a gap and parse; each private record has the digest in its
leaf; the stored head is signed by the log's key and covers exactly the leaves; the stored frontier agrees;
the published checkpoint is signed and covers a prefix; every published bundle and tile has the bytes that
the leaves give. The log id must be that of the key. It changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.errors import Refused
from sealwright.ledger.files import LOG_LIST
from sealwright.ledger.merkle import Frontier, leaf_hash
from sealwright.ledger.model import Entry, Log, TokenLeaf, parse_leaf
from sealwright.ledger.note import Checkpoint, Verifier, open_checkpoint, parse_vkey
from sealwright.ledger.ports import LedgerStore
from sealwright.ledger.tiles import WIDTH, encode_bundle, perfect_root, tile_path

CHUNK = 32 * WIDTH
LOG_ID_BYTES = 10
Progress = Callable[[str, int, int], None]
"""(log id, leaves done, leaves in all)."""


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


def check_ledger(store: LedgerStore, directory: Path, progress: Progress | None = None) -> Report:
    """Check every log in the store and every log directory on disk.

    Args:
        store: the durable rows.
        directory: where the tlog-tiles files are.
        progress: called now and then.
    """
    report = Report()
    known = store.logs()
    for stored in known:
        _LogCheck(store, stored, directory / stored.log_id, report, progress).run()
        report.logs += 1
    names = {stored.log_id for stored in known}
    if directory.is_dir():
        for found in sorted(directory.iterdir()):
            if found.name not in names and found.name != LOG_LIST:
                report.damages.append(
                    Damage(
                        found.name, "unknown_log", str(found), None, None, "files of a log that is not stored"
                    )
                )
    return report


class _LogCheck:
    def __init__(
        self, store: LedgerStore, stored: Log, directory: Path, report: Report, progress: Progress | None
    ) -> None:
        self._store = store
        self._log = stored
        self._directory = directory
        self._report = report
        self._progress = progress
        self._frontier = Frontier()
        self._files = _FileCheck(directory, self._damage)

    def _damage(
        self, code: str, where: str, message: str, index: int | None = None, byte: int | None = None
    ) -> None:
        self._report.damages.append(Damage(self._log.log_id, code, where, index, byte, message))

    def run(self) -> None:
        """Check one log."""
        verifier = self._verifier()
        published = self._published(verifier) if verifier else None
        for entry in self._entries():
            self._check_entry(entry)
            self._frontier.append(leaf_hash(entry.leaf))
            self._files.add(entry.leaf)
            if published is not None and published.size == self._frontier.size:
                if published.root != self._frontier.root():
                    self._damage("published_root", "checkpoint", "the published head covers other leaves")
                self._files.finish(published.size)
        self._check_head(verifier)
        if published is not None and published.size > self._frontier.size:
            message = f"the published head covers {published.size} leaves, {self._frontier.size} are stored"
            self._damage("leaf_missing", "leaves", message, index=self._frontier.size)
        self._report.files += self._files.checked

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
        file = self._directory / "checkpoint"
        if not file.is_file():
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
            index = self._files.first_difference
            message = "the leaves are not those that the signer's head covers" + (
                f"; the published files differ first at leaf {index}" if index is not None else ""
            )
            self._damage("root_mismatch", "leaves", message, index=index)
        stored = self._store.frontier(self._log.log_id)
        if stored != self._frontier.nodes and not self._has_grown():
            self._damage("frontier", "logs.frontier", "the stored frontier is not that of the leaves")


class _FileCheck:
    """Compares published files with what the leaves give."""

    def __init__(self, directory: Path, damage: Callable[..., None]) -> None:
        self._directory = directory
        self._damage = damage
        self._bundle: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._tiles = [0]
        self._size = 0
        self._finished = not (directory / "checkpoint").is_file()
        self.first_difference: int | None = None
        self.checked = 0

    def add(self, leaf: bytes) -> None:
        """Take the next leaf; full files are compared as they fill."""
        if self._finished:
            return
        self._size += 1
        self._bundle.append(leaf)
        if len(self._bundle) == WIDTH:
            self._compare_bundle("", (self._size - 1) // WIDTH)
            self._bundle = []
        self._add_hash(0, leaf_hash(leaf))

    def _add_hash(self, level: int, hashed: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._tiles.append(0)
        hashes = self._levels[level]
        hashes.append(hashed)
        if len(hashes) == WIDTH:
            self._compare(str(level), self._tiles[level], "", b"".join(hashes))
            self._levels[level] = []
            self._tiles[level] += 1
            self._add_hash(level + 1, perfect_root(hashes))

    def finish(self, size: int) -> None:
        """The published size is reached: compare the partial files of exactly this size."""
        self._finished = True
        if self._bundle:
            self._compare_bundle(f".p/{len(self._bundle)}", size // WIDTH)
        for level, hashes in enumerate(self._levels):
            if hashes:
                self._compare(str(level), self._tiles[level], f".p/{len(hashes)}", b"".join(hashes))

    def _compare_bundle(self, suffix: str, number: int) -> None:
        found, expected = self._read("entries", number, suffix, encode_bundle(self._bundle))
        byte = _first_difference(found, expected)
        if byte is None:
            return
        position, index = 0, number * WIDTH
        for leaf in self._bundle:
            position += 2 + len(leaf)
            if byte < position:
                break
            index += 1
        if self.first_difference is None:
            self.first_difference = index
        name = f"tile/entries/{tile_path(number)}{suffix}"
        self._damage("bundle_differs", name, f"wrong from leaf {index} on", index=index, byte=byte)

    def _compare(self, kind: str, number: int, suffix: str, expected: bytes) -> None:
        found, expected = self._read(kind, number, suffix, expected)
        byte = _first_difference(found, expected)
        if byte is not None:
            name = f"tile/{kind}/{tile_path(number)}{suffix}"
            covered = WIDTH ** int(kind)
            index = (number * WIDTH + byte // 32) * covered
            self._damage("tile_differs", name, f"wrong hash over leaf {index}", index=index, byte=byte)

    def _read(self, kind: str, number: int, suffix: str, expected: bytes) -> tuple[bytes, bytes]:
        file = self._directory / "tile" / kind / (tile_path(number) + suffix)
        full = self._directory / "tile" / kind / tile_path(number)
        self.checked += 1
        if file.is_file():
            return file.read_bytes(), expected
        # A partial file goes when its tile has filled meanwhile; the full one begins with the same bytes.
        return (full.read_bytes()[: len(expected)] if full.is_file() else b""), expected


def _first_difference(found: bytes, expected: bytes) -> int | None:
    if found == expected:
        return None
    for position, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return position
    return min(len(found), len(expected))
