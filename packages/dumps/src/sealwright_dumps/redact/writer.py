"""Writes a redacted dump into a file without a name, and gives it its name only when everything is proved.

A kill at any moment leaves nothing behind. May never do: overwrite a file, or write to the input.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sealwright_dumps.errors import Refused, Unavailable
from sealwright_dumps.redact.keep import Piece
from sealwright_dumps.redact.snapshot import digest_of, unnamed_file, write_all


class Output:
    """The copy in the making: a descriptor, and how many bytes of which kind were kept."""

    def __init__(self, descriptor: int, folder: Path) -> None:
        self.descriptor = descriptor
        self.kept: dict[str, int] = {}
        self._folder = folder

    @property
    def path(self) -> Path:
        """A path by which this process and its children can read it."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")

    def write(self, pieces: Iterable[Piece], size: int) -> None:
        """Write the pieces; everything else is a hole. Raises Unavailable on a full disk."""
        try:
            os.ftruncate(self.descriptor, size)
            for piece in pieces:
                if piece.offset < 0 or piece.offset + len(piece.data) > size:
                    raise Refused("piece-outside", "a kept part lies outside the file")
                write_all(self.descriptor, piece.data, piece.offset)
                self.kept[piece.why] = self.kept.get(piece.why, 0) + len(piece.data) - piece.data.count(0)
            os.fsync(self.descriptor)
        except OSError as error:
            raise Unavailable("write-failed", "the output could not be written", str(error)) from error

    def sha256(self) -> str:
        """The digest of what is on the disk."""
        return digest_of(self.descriptor)

    def publish(self, path: Path) -> None:
        """Give it its name. Raises Refused when the name is taken."""
        publish(self.descriptor, path)


def publish(descriptor: int, path: Path) -> None:
    """Link an unnamed file to a name that must not exist, durably."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # a descriptor of the folder makes Python call linkat, which alone can follow the link in /proc
            os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
            try:
                os.fsync(folder)
            except OSError:  # not durable is not done
                os.unlink(path.name, dir_fd=folder)
                raise
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise Refused("output-exists", "the output exists already", str(path)) from error
        raise Unavailable("write-failed", "the output could not be named", str(error)) from error


@contextlib.contextmanager
def output(folder: Path) -> Iterator[Output]:
    """An output in `folder`, gone at the end unless it was published."""
    descriptor = unnamed_file(folder)
    try:
        yield Output(descriptor, folder)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """A small file with a name that must not exist, whole or not at all. Raises Refused or Unavailable."""
    with output(path.parent) as out:
        out.write([Piece(0, text.encode(), "text")], len(text.encode()))
        out.publish(path)
