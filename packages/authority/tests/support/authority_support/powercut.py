"""A disk that forgets: what would be left of a directory if the power went now.

What a program writes is only certain once it asked for it: the bytes of a file when the file was synced, its
name when its directory was. `Disk` watches both and can lay out, at any moment, what is left in the worst
case, or in any mixture with what was written and happened to arrive. It is stricter than most file systems,
which is the point.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

Listing = dict[str, int]
"""The names in a directory and their inodes."""


class Disk:
    """Watches every sync, rename, removal and new directory below `root`. `tell` is called before each."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.moments: Callable[[], None] = lambda: None
        self._looking = False
        self._content: dict[int, bytes] = {}
        self._listings: dict[int, Listing] = {}
        self._kept: list[int] = []
        self._settle(root)
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self._synced)
        for name in ("replace", "unlink", "mkdir", "rmdir"):
            patch.setattr(os, name, self._watched(getattr(os, name)))

    def _settle(self, directory: Path) -> None:
        """Everything that is there now is certain."""
        self._listings[directory.stat().st_ino] = _listing(directory)
        for entry in directory.iterdir():
            if entry.is_dir():
                self._settle(entry)
            else:
                self._content[entry.stat().st_ino] = entry.read_bytes()

    def _watched(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object, **options: object) -> None:
            self._moment()
            real(*args, **options)

        return call

    def _moment(self) -> None:
        """Let who watches look, and take no notice of what they write themselves."""
        if self._looking:
            return
        self._looking = True
        try:
            self.moments()
        finally:
            self._looking = False

    def _synced(self, descriptor: int) -> None:
        self._moment()
        self._fsync(descriptor)
        found = os.fstat(descriptor)
        # An inode that is gone must not be given to another file while we speak of it.
        self._kept.append(os.dup(descriptor))
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        if stat.S_ISDIR(found.st_mode):
            self._listings[found.st_ino] = _listing(place)
        else:
            self._content[found.st_ino] = place.read_bytes()

    def left(self, to: Path, dice: random.Random | None = None) -> None:
        """Lay out in `to` what is left: what is certain, and with dice some of the rest."""
        self._lay(self.root, self.root.stat().st_ino, to, dice)

    def _lay(self, now: Path | None, inode: int, to: Path, dice: random.Random | None) -> None:
        to.mkdir(mode=0o700)
        names = self._listings.get(inode, {})
        present = _listing(now) if now is not None and now.is_dir() else {}
        if dice is not None and dice.random() < 0.5:
            names = present
        for name, of in names.items():
            same = now / name if now is not None and present.get(name) == of else None
            if of in self._listings or (same is not None and same.is_dir()):
                self._lay(same, of, to / name, dice)
            else:
                (to / name).touch(mode=0o600)
                (to / name).write_bytes(self._bytes(same, of, dice))

    def _bytes(self, now: Path | None, inode: int, dice: random.Random | None) -> bytes:
        certain = self._content.get(inode, b"")
        if dice is not None and now is not None:
            written = now.read_bytes()
            return written[: dice.randint(0, len(written))] if inode not in self._content else certain
        return certain

    def close(self) -> None:
        """Let go of what was synced."""
        for descriptor in self._kept:
            os.close(descriptor)


def _listing(directory: Path) -> Listing:
    return {entry.name: entry.inode() for entry in os.scandir(directory)}


def fresh(directory: Path) -> Path:
    """The directory, empty and not there."""
    shutil.rmtree(directory, ignore_errors=True)
    return directory
