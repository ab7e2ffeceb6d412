"""Moves old segments to cold storage: rows to zstd Parquet, bundles and tiles to a second place.

What has moved keeps its place, its file names and its proofs. Copied, read back and compared first; removed
where it was only after that. May never move a leaf that is younger than the retention's hot time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sealwright.errors import Misconfigured, Unavailable
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.fsck_files import ENTRIES
from sealwright.ledger.model import ColdSegment, Entry, Log, TokenLeaf, parse_leaf
from sealwright.ledger.ports import FileStore, LedgerStore
from sealwright.ledger.tiles import WIDTH, tile_path

SEGMENT = WIDTH * WIDTH
"""Leaves of a segment: those under one hash of tile level 2."""
_CHUNK = 4_096


class MovableStore(LedgerStore, Protocol):
    """A store whose rows can leave it."""

    def move_out(self, segment: ColdSegment) -> None:
        """Name the file that holds a segment, and take its rows out, in one transaction."""
        ...


class ColdWriter(Protocol):
    """Cold storage, for writing."""

    def segments(self, log_id: str) -> list[ColdSegment]:
        """The segments of a log that moved, in order."""
        ...

    def write(self, log_id: str, entries: Sequence[Entry], at: int) -> ColdSegment:
        """Write a segment's file, read it back, and return the row that names it."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """A segment that may move."""

    log_id: str
    first: int
    end: int


class Archive:
    """Plans and moves."""

    def __init__(self, store: MovableStore, files: LedgerFiles, writer: ColdWriter) -> None:
        self._store = store
        self._files = files
        self._writer = writer

    def due(self, now: float, hot: int) -> list[Due]:
        """Segments whose newest leaf is older than `hot` seconds, oldest log first."""
        return [due for log in self._store.logs() for due in self._due_of(log, now - hot)]

    def _due_of(self, log: Log, before: float) -> Iterator[Due]:
        moved = self._writer.segments(log.log_id)
        first = moved[-1].end if moved else 0
        while first < log.size:
            end = min(first + SEGMENT, log.size)
            if end - first < SEGMENT and log.closed_at is None:
                return  # it still grows
            newest = self._store.leaf(log.log_id, end - 1)
            if newest is None or leaf_time(newest) > before:
                return
            yield Due(log.log_id, first, end)
            first = end

    def move(self, due: Due, now: float) -> ColdSegment:
        """Move one segment.

        Raises:
            Misconfigured: no cold storage is configured.
            Unavailable: it is not published yet, or cold storage does not hold what was written.
        """
        if self._files.cold is None:
            raise Misconfigured("no_cold_storage", "no cold storage is configured")
        entries = [
            entry
            for start in range(due.first, due.end, _CHUNK)
            for entry in self._store.entries(due.log_id, start, min(start + _CHUNK, due.end))
        ]
        if len(entries) != due.end - due.first:
            raise Unavailable("leaf_missing", "a leaf of the segment is missing; run fsck")
        copied = [self._copy(name, due.log_id, self._files.cold) for name in self._names(due)]
        segment = self._writer.write(due.log_id, entries, int(now))
        self._store.move_out(segment)
        for file in copied:
            file.unlink()
        return segment

    @staticmethod
    def _names(due: Due) -> Iterator[str]:
        for number in range(due.first // WIDTH, -(-due.end // WIDTH)):
            width = min(WIDTH, due.end - number * WIDTH)
            suffix = "" if width == WIDTH else f".p/{width}"
            for kind in (ENTRIES, "0"):
                yield f"tile/{kind}/{tile_path(number)}{suffix}"

    def _copy(self, name: str, log_id: str, cold: FileStore) -> Path:
        hot, target = self._files.hot / log_id / name, f"{log_id}/{name}"
        if not hot.is_file():
            raise Unavailable("not_published", f"{name} of log {log_id} is not published")
        data = hot.read_bytes()
        cold.write(target, data)
        if cold.read(target) != data:
            raise Unavailable("cold_storage", f"{cold}/{target} does not read back")
        return hot


def leaf_time(leaf: bytes) -> int:
    """When a leaf was made, seconds since 1970."""
    parsed = parse_leaf(leaf)
    return parsed.iat if isinstance(parsed, TokenLeaf) else int(parsed.members.get("at", 0))
