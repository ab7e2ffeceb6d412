"""Opens what is to be scanned and reads it in windows that overlap.

May never do: follow a symbolic link that was not asked for, block on a FIFO, or go on with a file that
changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sealwright_dumps.errors import Refused, Unavailable

WINDOW = 8 << 20
BEHIND = 64 << 10
AHEAD = 128 << 10
_BLOCK_SIZE_IOCTL = 0x80081272  # BLKGETSIZE64


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of an object. Hits whose anchor stands in [low, high) of `data` belong to this window."""

    base: int
    data: bytes
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What must not change while a file is read."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class FileSource:
    """One open regular file or block device."""

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        try:
            self.descriptor = os.open(path, flags)
        except OSError as error:
            raise _open_error(path, error) from error
        self.path = path
        try:
            self.size = self._measure()
        except (OSError, Refused):
            self.close()
            raise
        self.identity = self._identity()

    def _measure(self) -> int:
        status = os.fstat(self.descriptor)
        if stat.S_ISREG(status.st_mode):
            return status.st_size
        if stat.S_ISBLK(status.st_mode):
            return os.lseek(self.descriptor, 0, os.SEEK_END)
        raise Refused("not-a-file", "not a regular file or block device", str(self.path))

    def _identity(self) -> Identity:
        status = os.fstat(self.descriptor)
        return Identity(status.st_dev, status.st_ino, self.size, status.st_mtime_ns, status.st_ctime_ns)

    def require_unchanged(self) -> None:
        """Raises Refused when the file was written, cut or grown since it was opened."""
        if self._identity() != self.identity or self._measure() != self.size:
            raise Refused("changed-while-read", "the file changed while it was read", str(self.path))

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer only at the end. Raises Unavailable on a read error."""
        pieces: list[bytes] = []
        while length > 0:
            try:
                piece = os.pread(self.descriptor, min(length, 1 << 30), offset)
            except OSError as error:
                raise Unavailable(
                    "read-error", "the file cannot be read here", f"{self.path}@{offset}: {error}"
                ) from error
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def data_extents(self) -> list[tuple[int, int]]:
        """[start, end) of everything that is not a hole, so that a sparse terabyte costs what it holds."""
        extents: list[tuple[int, int]] = []
        at = 0
        while at < self.size:
            try:
                start = os.lseek(self.descriptor, at, os.SEEK_DATA)
                end = os.lseek(self.descriptor, start, os.SEEK_HOLE)
            except OSError:  # ENXIO: only a hole is left; EINVAL: this file system or device does not tell
                return extents or ([] if self._is_one_hole() else [(0, self.size)])
            extents.append((start, min(end, self.size)))
            at = end
        return extents

    def _is_one_hole(self) -> bool:
        status = os.fstat(self.descriptor)
        return stat.S_ISREG(status.st_mode) and status.st_blocks == 0

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


def _open_error(path: Path, error: OSError) -> Refused:
    reasons = {
        40: ("symlink", "a symbolic link"),
        2: ("absent", "no such file"),
        13: ("forbidden", "not readable"),
    }
    code, text = reasons.get(error.errno or 0, ("unreadable", "cannot be opened"))
    return Refused(code, text, f"{path}: {error}")


def spans(extents: list[tuple[int, int]], window: int = WINDOW) -> list[tuple[int, int]]:
    """The extents cut at multiples of `window`: the unit of parallel and resumable work."""
    pieces: list[tuple[int, int]] = []
    for start, end in extents:
        at = start
        while at < end:
            stop = min(end, (at // window + 1) * window)
            pieces.append((at, stop))
            at = stop
    return pieces


def window_at(source: FileSource, start: int, stop: int) -> Window:
    """The window that owns [start, stop), with what its anchors need before and after."""
    base = max(0, start - BEHIND)
    data = source.read(base, stop + AHEAD - base)
    return Window(base, data, start - base, min(stop - base, len(data)))


def stream_windows(pieces: Iterator[bytes], window: int = WINDOW) -> Iterator[Window]:
    """Windows over a stream that can be read once. Holds two windows at most."""
    base, buffer, low = 0, b"", 0
    gathered: list[bytes] = []
    pending = 0
    for piece in pieces:
        gathered.append(piece)
        pending += len(piece)
        if len(buffer) + pending - low < window + AHEAD:
            continue
        buffer = b"".join((buffer, *gathered))
        gathered, pending = [], 0
        while len(buffer) - low >= window + AHEAD:
            yield Window(base, buffer, low, low + window)
            keep = max(0, low + window - BEHIND)
            low = low + window - keep
            base += keep
            buffer = buffer[keep:]
    buffer = b"".join((buffer, *gathered))
    if low < len(buffer):
        yield Window(base, buffer, low, len(buffer))
