"""Where batches of observations wait: in memory, or in a directory that survives the process.

Bounded in bytes: the oldest batch gives way, and is counted. May never grow beyond its bound or drop in
silence.
"""

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final, Protocol

from sealwright_validate.clock import Clock

MAX_BYTES: Final = 16 * 1024 * 1024
_SUFFIX: Final = ".batch"


@dataclass(frozen=True, slots=True)
class Batch:
    """`count` observations as comma-separated JSON objects. `name` is the spool's own."""

    name: str
    entries: bytes
    count: int


class Spool(Protocol):
    """A bounded queue of batches, oldest first. Used by one thread at a time."""

    @property
    def dropped(self) -> int:
        """Observations that gave way or could not be kept, since the process began."""

    @property
    def fleeting(self) -> int:
        """Observations that wait and would not survive the process."""

    def put(self, entries: bytes, count: int) -> None:
        """Keep a batch; older ones give way when there is no room."""

    def oldest(self) -> Batch | None:
        """The batch to send next; it stays until `remove`."""

    def remove(self, batch: Batch) -> None:
        """Forget a batch that was sent or rejected."""


class MemorySpool:
    """Batches in memory: they survive an outage of the authority, not the end of the process."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._batches: deque[Batch] = deque()
        self._bytes = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Observations that gave way since the process began."""
        return self._dropped

    @property
    def fleeting(self) -> int:
        """Observations that wait; none of them would survive the process."""
        return sum(batch.count for batch in self._batches)

    def put(self, entries: bytes, count: int) -> None:
        """Keep a batch; older ones give way when there is no room."""
        if len(entries) > self._max_bytes:
            self._dropped += count
            return
        while self._bytes + len(entries) > self._max_bytes:
            oldest = self._batches.popleft()
            self._bytes -= len(oldest.entries)
            self._dropped += oldest.count
        self._batches.append(Batch(token_hex(8), entries, count))
        self._bytes += len(entries)

    def oldest(self) -> Batch | None:
        """The batch to send next; it stays until `remove`."""
        return self._batches[0] if self._batches else None

    def remove(self, batch: Batch) -> None:
        """Forget a batch that was sent or rejected."""
        if self._batches and self._batches[0].name == batch.name:
            self._batches.popleft()
            self._bytes -= len(batch.entries)


class DirectorySpool:
    """Batches as files, which survive the process. Several processes may share a directory.

    A batch that two processes send is stored once: every observation carries an id.
    """

    def __init__(self, directory: Path, *, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        self._clock = clock
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Observations that gave way or could not be written, since the process began."""
        return self._dropped

    @property
    def fleeting(self) -> int:
        """None: what waits is in files."""
        return 0

    def put(self, entries: bytes, count: int) -> None:
        """Keep a batch; older ones give way when there is no room."""
        if len(entries) > self._max_bytes:
            self._dropped += count
            return
        self._make_room(len(entries))
        name = f"{int(self._clock.wall() * 1e6):020d}-{token_hex(4)}-{count}{_SUFFIX}"
        partial = self._directory / (name + ".partial")
        try:
            with partial.open("wb") as out:
                out.write(entries)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(self._directory / name)
        except OSError:
            self._dropped += count
            with suppress(OSError):
                partial.unlink()

    def oldest(self) -> Batch | None:
        """The batch to send next; it stays until `remove`."""
        for path in self._files():
            try:
                return Batch(path.name, path.read_bytes(), _count(path))
            except FileNotFoundError:
                continue  # another process sent it
        return None

    def remove(self, batch: Batch) -> None:
        """Forget a batch that was sent or rejected."""
        (self._directory / batch.name).unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*" + _SUFFIX))

    def _make_room(self, needed: int) -> None:
        sizes = []
        for path in self._files():
            with suppress(FileNotFoundError):
                sizes.append((path, path.stat().st_size))
        total = sum(size for _, size in sizes)
        for path, size in sizes:
            if total + needed <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
            self._dropped += _count(path)


def _count(path: Path) -> int:
    digits = path.name.removesuffix(_SUFFIX).rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0
