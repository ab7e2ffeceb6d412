"""Writes a log as C2SP tlog-tiles files (height 8): the form in which strangers read it.

Life of a leaf here: *sequenced* by the signer, *durable* in the state database (the group commit),
*published* when its entry bundle, its tiles and then the checkpoint are synced and renamed into place. The
published checkpoint never runs ahead of the tiles. Everything in these files can be derived again from the
database and is never read back as truth.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from sealwright.files import make_directory, sync_directory
from sealwright.ledger.merkle import leaf_hash, node_hash

WIDTH = 256
_LENGTH = struct.Struct(">H")
_GROUP = 1_000


def tile_path(index: int) -> str:
    """`1234067` → `x001/x234/067` (C2SP tlog-tiles, "Tile paths")."""
    groups = [f"{index % _GROUP:03d}"]
    while index >= _GROUP:
        index //= _GROUP
        groups.append(f"x{index % _GROUP:03d}")
    return "/".join(reversed(groups))


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry behind its length as uint16."""
    return b"".join(_LENGTH.pack(len(leaf)) + leaf for leaf in leaves)


def decode_bundle(data: bytes) -> Iterator[bytes]:
    """The entries of a bundle.

    Raises:
        ValueError: when it ends inside an entry.
    """
    position = 0
    while position < len(data):
        end = position + _LENGTH.size
        if end > len(data):
            raise ValueError("entry bundle ends inside a length")
        (length,) = _LENGTH.unpack_from(data, position)
        position = end + length
        if position > len(data):
            raise ValueError("entry bundle ends inside an entry")
        yield data[end:position]


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root of a full tile."""
    level = list(hashes)
    while len(level) > 1:
        level = list(map(node_hash, level[::2], level[1::2]))
    return level[0]


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is whole and on disk under its name, or not there at all."""
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


class TileWriter:
    """Writes the tiles of one log from its first leaf on. Feed it every leaf in order, then `publish`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._levels: list[list[bytes]] = [[]]
        self._tiles = [0]
        self._bundle: list[bytes] = []
        self._dirty: set[int] = set()
        self._covered = 0
        self.size = 0

    def append(self, leaf: bytes) -> None:
        """Take the next leaf."""
        self.extend([leaf])

    def extend(self, leaves: Sequence[bytes], *, write: bool = True) -> None:
        """Take the next leaves; full tiles are written as they fill, unless they are known to be on disk."""
        while leaves:
            part, leaves = leaves[: WIDTH - len(self._bundle)], leaves[WIDTH - len(self._bundle) :]
            self._bundle += part
            self._levels[0] += map(leaf_hash, part)
            self._dirty.add(0)
            self.size += len(part)
            if len(self._bundle) == WIDTH:
                if write:
                    self._write_full("entries", self.size // WIDTH - 1, encode_bundle(self._bundle))
                self._bundle = []
                self._close_tile(0, write=write)

    def _close_tile(self, level: int, *, write: bool) -> None:
        hashes = self._levels[level]
        if write:
            self._write_full(str(level), self._tiles[level], b"".join(hashes))
        self._levels[level] = []
        self._tiles[level] += 1
        if level + 1 == len(self._levels):
            self._levels.append([])
            self._tiles.append(0)
        self._levels[level + 1].append(perfect_root(hashes))
        self._dirty.add(level + 1)
        if len(self._levels[level + 1]) == WIDTH:
            self._close_tile(level + 1, write=write)

    def _write_full(self, kind: str, index: int, data: bytes) -> None:
        path = self._directory / "tile" / kind / tile_path(index)
        write_durably(path, data)
        partial = path.with_name(path.name + ".p")
        if partial.is_dir():
            for file in partial.iterdir():
                file.unlink()
            partial.rmdir()

    def cover(self) -> None:
        """Write the partial tiles of this size, once: from then on proofs of it can be made."""
        if self._covered == self.size:
            return
        if self._bundle:
            self._write_partial("entries", self.size // WIDTH, len(self._bundle), encode_bundle(self._bundle))
        for level in sorted(self._dirty):
            hashes = self._levels[level]
            if hashes:
                self._write_partial(str(level), self._tiles[level], len(hashes), b"".join(hashes))
        self._dirty.clear()
        self._covered = self.size

    def publish(self, checkpoint: str) -> None:
        """Write the partial tiles of this size where they are missing, then the checkpoint."""
        self.cover()
        write_durably(self._directory / "checkpoint", checkpoint.encode())

    def _write_partial(self, kind: str, index: int, width: int, data: bytes) -> None:
        path = self._directory / "tile" / kind / tile_path(index)
        write_durably(path.with_name(path.name + ".p") / str(width), data)
