"""Takes a dump in once, into something that cannot change any more.

Up to a bound that is a sealed memory file; above it an unnamed file whose digest is checked again at the end.
May never
do: go on with a source that changed meanwhile, or give the snapshot a name on a disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from sealwright_dumps.errors import Refused, Unavailable
from sealwright_dumps.source import FileSource

PIECE = 1 << 20
IN_MEMORY = 64 << 20
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Snapshot:
    """An unchanging copy: its descriptor, size and SHA-256."""

    def __init__(self, descriptor: int, size: int, sha256: str, *, sealed: bool) -> None:
        self.descriptor = descriptor
        self.size = size
        self.sha256 = sha256
        self.sealed = sealed

    @property
    def path(self) -> Path:
        """A path by which this process and its children can open it again."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`."""
        pieces: list[bytes] = []
        while length > 0 and offset < self.size:
            piece = os.pread(self.descriptor, min(length, self.size - offset), offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def require_unchanged(self) -> None:
        """Raises Refused when an unnamed file no longer has its digest. A sealed one cannot change."""
        if not self.sealed and digest_of(self.descriptor) != self.sha256:
            raise Refused("snapshot-changed", "the snapshot was written to by another process")


def digest_of(descriptor: int) -> str:
    """SHA-256 of everything behind a descriptor, in hexadecimal."""
    digest, at = hashlib.sha256(), 0
    while piece := os.pread(descriptor, PIECE, at):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def take(source: FileSource, folder: Path, largest: int) -> Iterator[Snapshot]:
    """A snapshot of an open file; gone at the end. Raises Refused (changed, too large) or Unavailable (full
    disk).
    """
    if source.size > largest:
        raise Refused("too-large", "the dump is larger than the policy allows")
    descriptor, sealed = _room(source.size, folder)
    try:
        sha256 = _copy(source, descriptor)
        source.require_unchanged()
        if sealed:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield Snapshot(descriptor, source.size, sha256, sealed=sealed)
    except OSError as error:
        raise Unavailable("snapshot-failed", "the dump could not be copied", str(error)) from error
    finally:
        os.close(descriptor)


def _room(size: int, folder: Path) -> tuple[int, bool]:
    if size <= IN_MEMORY:
        return os.memfd_create("dump", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), True
    return unnamed_file(folder), False


def unnamed_file(folder: Path) -> int:
    """A file without a name, which vanishes with this process. Raises Unavailable and says why."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unavailable("folder-absent", f"{folder} is no folder") from error
    except OSError as error:
        why = error.strerror or "no unnamed file can be made"
        raise Unavailable("folder-unwritable", f"{folder}: {why}", str(error)) from error


def _copy(source: FileSource, descriptor: int) -> str:
    """Copy everything, holes as holes; the digest of the content."""
    digest = hashlib.sha256()
    os.ftruncate(descriptor, source.size)
    extents = source.data_extents()
    at = 0
    for start, end in [*extents, (source.size, source.size)]:
        _hash_zeros(digest, start - at)
        at = start
        while at < end:
            piece = source.read(at, min(PIECE, end - at))
            if not piece:
                raise Refused("changed-while-read", "the file became shorter while it was read")
            digest.update(piece)
            write_all(descriptor, piece, at)
            at += len(piece)
    return digest.hexdigest()


def _hash_zeros(digest: hashlib._Hash, count: int) -> None:
    zeros = bytes(PIECE)
    while count > 0:
        digest.update(zeros[: min(PIECE, count)])
        count -= PIECE


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`. Raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
