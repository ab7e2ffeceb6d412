"""Names every file under the paths that were asked for.

May never do: follow symbolic links below a given path, open anything, or stop because one folder cannot be
read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to scan, or the reason why it is not scanned. `named`: it was given, not found."""

    path: Path
    size: int = 0
    reason: str = ""
    named: bool = False


def ignore(_path: Path) -> None:
    """Nobody wants to know."""


def entries(
    paths: Sequence[str],
    *,
    skip: frozenset[str] = frozenset(),
    left_out: Callable[[Path], None] = ignore,
) -> Iterator[Entry]:
    """Every regular file and block device under `paths`, in name order. Folder names in `skip` are
    left out, of which `left_out` is told.
    """
    for name in paths:
        path = Path(name)
        try:
            status = path.stat()
        except OSError as error:
            yield Entry(path, reason=f"absent: {error.strerror}", named=True)
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _folder(path, skip, left_out)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode):
            yield Entry(path, status.st_size, named=True)
        else:
            yield Entry(path, reason="not-a-file: not a regular file or block device", named=True)


def _folder(folder: Path, skip: frozenset[str], left_out: Callable[[Path], None]) -> Iterator[Entry]:
    failures: list[Entry] = []

    def note(error: OSError) -> None:
        failures.append(Entry(Path(error.filename or folder), reason=f"unreadable: {error.strerror}"))

    for base, folders, files in os.walk(folder, onerror=note):
        for name in sorted(skip.intersection(folders)):
            left_out(Path(base, name))
        folders[:] = sorted(name for name in folders if name not in skip)
        for name in sorted(files):
            path = Path(base, name)
            try:
                status = path.lstat()
            except OSError:  # gone since it was listed: nothing is left to scan
                continue
            if stat.S_ISREG(status.st_mode):
                yield Entry(path, status.st_size)
        yield from failures
        failures.clear()
    yield from failures
