"""Files that only their owner may read, written whole or not at all.

Used for state on disk by every room. May never follow a name into a file that others can read, and never
leave a half-written file behind under the real name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sealwright.errors import Misconfigured

PRIVATE_FILE, PRIVATE_DIRECTORY = 0o600, 0o700


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Around what writes a file or folder that an operator named: a place that cannot be written is a mistake
    of theirs.

    Raises:
        Misconfigured: `cannot_write`, with the place and what the system said.
    """
    try:
        yield
    except OSError as error:
        raise Misconfigured("cannot_write", f"cannot write {place}: {error.strerror or error}") from error


def require_writable(folder: Path) -> None:
    """Refuse a folder in which nothing could be made, itself included where it is not there; makes nothing.

    Raises:
        Misconfigured: `cannot_write`.
    """
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    with writing(folder):
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_private(file: Path, content: bytes) -> None:
    """Replace `file` atomically and durably; mode 0600 from its first byte on."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: what was made, renamed or removed in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """Make a directory and its parents, each durable: a power cut takes what is in one with it."""
    if directory.is_dir():
        return
    if not directory.parent.is_dir():
        make_directory(directory.parent)
    directory.mkdir(mode=mode, exist_ok=True)
    sync_directory(directory.parent)


def make_private_directory(directory: Path) -> None:
    """Make `directory` (and its parents) with mode 0700, or require that an existing one is ours alone.

    Raises:
        Misconfigured: `open_directory` or `not_a_directory`, with the command that repairs it.
    """
    try:
        make_directory(directory, PRIVATE_DIRECTORY)
    except OSError as error:
        raise Misconfigured(
            "not_a_directory", f"cannot make the directory {directory}: {error.strerror}"
        ) from error
    _require_owned(directory, "open_directory", 0o700)


def require_private(file: Path) -> None:
    """Refuse a file that anyone but its owner can read or write.

    Raises:
        Misconfigured: `open_file` with the command that repairs it, or `missing_file`.
    """
    if not file.is_file():
        raise Misconfigured("missing_file", f"{file} is missing")
    _require_owned(file, "open_file", 0o600)


def read_private(file: Path) -> bytes:
    """The content of a file that only its owner can read.

    Raises:
        Misconfigured: see `require_private`.
    """
    require_private(file)
    return file.read_bytes()


def _require_owned(path: Path, code: str, mode: int) -> None:
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Misconfigured(
            code,
            f"{path} can be used by others (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"look into why, then: chmod {mode:04o} {path}",
        )
    if found.st_uid != os.geteuid():
        raise Misconfigured(
            code,
            f"{path} belongs to user {found.st_uid}, and this runs as {os.geteuid()}; "
            f"look into why, then change its owner or run as that user",
        )
