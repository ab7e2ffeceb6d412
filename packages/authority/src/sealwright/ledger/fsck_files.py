"""Compares every file of one log with what the leaves give, byte for byte. Changes nothing itself: what
differs is named, and handed to whoever mends it.

All of them: full tiles and bundles, the partial ones of the published size, those of earlier sizes that are
still there, and those that a crash left ahead of the checkpoint. A file under `tile/` with any other name is
named as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sealwright.ledger.merkle import HASH_BYTES, leaf_hash
from sealwright.ledger.ports import FileStore
from sealwright.ledger.tiles import WIDTH, encode_bundle, perfect_root, tile_path

ENTRIES = "entries"
_NAME = re.compile(r"(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEFT_OVER = re.compile(r"\.[0-9]+\.new")
"""What a crash in the middle of writing leaves; it is never served and is overwritten."""
Key = tuple[str, int]
"""(kind, number): kind is `entries` or a tile level in decimal."""
Damaged = Callable[[str, str, str, int | None, int | None], None]
"""(code, where, message, leaf, byte)."""
Mend = Callable[[FileStore, str, bytes], None]
"""(where, name below the log's folder, what it must hold)."""


def parse_name(name: str) -> tuple[Key, int] | None:
    """((kind, number), width) of a name below `tile/`; None when it is no tile's."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    number = int(found[2].replace("x", "").replace("/", ""))
    width = int(found[3]) if found[3] else WIDTH
    if tile_path(number) != found[2] or (found[3] and width >= WIDTH):
        return None
    return (found[1], number), width


class FileCheck:
    """Takes the leaves of one log in order, and then `finish`."""

    def __init__(
        self,
        tops: Sequence[FileStore],
        log_id: str,
        published: int,
        damaged: Damaged,
        mend: Mend | None = None,
    ) -> None:
        """`tops`: where the files are, the place of new ones first."""
        self._home = tops[0]
        self._log_id = log_id
        self._mend = mend
        self._published = published
        self._damaged = damaged
        self._found: dict[Key, list[tuple[int, str, FileStore]]] = {}
        self._bundle: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._tiles = [0]
        self._size = 0
        self.first_difference: int | None = None
        self.checked = 0
        for top in tops:
            self._walk(top)

    def _walk(self, top: FileStore) -> None:
        folder = f"{self._log_id}/tile"
        for path in top.names(folder):
            name = path.removeprefix(f"{folder}/")
            parsed = parse_name(name)
            if parsed is not None:
                key, width = parsed
                self._found.setdefault(key, []).append((width, f"tile/{name}", top))
            elif not _LEFT_OVER.fullmatch(name.rpartition("/")[2]):
                self._damaged("unknown_file", f"tile/{name}", "a file that no leaf gives", None, None)

    def add(self, leaf: bytes) -> None:
        """Take the next leaf; files are compared as their tile fills."""
        self._size += 1
        self._bundle.append(leaf)
        if len(self._bundle) == WIDTH:
            self._compare_bundle()
        self._add_hash(0, leaf_hash(leaf))

    def _add_hash(self, level: int, hashed: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._tiles.append(0)
        hashes = self._levels[level]
        hashes.append(hashed)
        if len(hashes) == WIDTH:
            self._compare_tile(level)
            self._add_hash(level + 1, perfect_root(hashes))

    def finish(self) -> None:
        """Every leaf was given: compare what is partial, and name what is left."""
        if self._bundle:
            self._compare_bundle()
        for level in range(len(self._levels)):
            if self._levels[level]:
                self._compare_tile(level)
        for (kind, number), files in sorted(self._found.items()):
            for width, name, _top in files:
                message = f"{width} hashes or entries of leaves that are not stored"
                self._damaged("file_beyond_head", name, message, number * WIDTH * _covered(kind), 0)
        self._found.clear()

    def _compare_bundle(self) -> None:
        leaves, self._bundle = self._bundle, []
        number = (self._size - 1) // WIDTH
        for width, name, top, data in self._files(ENTRIES, number, len(leaves)):
            expected = encode_bundle(leaves[:width])
            byte = self._compare(top, name, data, expected)
            if byte is not None:
                index = number * WIDTH + _entry_at(leaves[:width], byte)
                self._differs("bundle_differs", name, f"wrong from leaf {index} on", index, byte)

    def _compare_tile(self, level: int) -> None:
        hashes, number = self._levels[level], self._tiles[level]
        self._levels[level] = []
        self._tiles[level] += 1
        expected = b"".join(hashes)
        for width, name, top, data in self._files(str(level), number, len(hashes)):
            byte = self._compare(top, name, data, expected[: width * HASH_BYTES])
            if byte is not None:
                index = (number * WIDTH + byte // HASH_BYTES) * WIDTH**level
                message = f"wrong hash over leaf {index}"
                self._damaged("tile_differs", name, message, index, byte)

    def _compare(self, top: FileStore, name: str, data: bytes | None, expected: bytes) -> int | None:
        byte = first_difference(data or b"", expected)
        if byte is not None and self._mend is not None:
            self._mend(top, name, expected)
        return byte

    def _files(
        self, kind: str, number: int, stored: int
    ) -> Iterator[tuple[int, str, FileStore, bytes | None]]:
        """(width, name, where, content) of the files of one tile, of which `stored` hashes or entries are
        stored. One that must be there and is not has no content.
        """
        found = self._found.pop((kind, number), [])
        wanted = self._wanted(kind, number)
        if wanted and not any(width in {wanted, WIDTH} for width, _name, _top in found):
            suffix = "" if wanted == WIDTH else f".p/{wanted}"
            name = f"tile/{kind}/{tile_path(number)}{suffix}"
            yield min(wanted, stored), name, self._home, None
        for width, name, top in found:
            data = top.read(f"{self._log_id}/{name}")
            if data is None:
                continue  # its tile has filled meanwhile
            self.checked += 1
            if width > stored:
                index = (number * WIDTH + stored) * _covered(kind)
                self._damaged("file_beyond_head", name, f"covers leaf {index}, not stored", index, None)
            else:
                yield width, name, top, data

    def _wanted(self, kind: str, number: int) -> int:
        """How many hashes or entries of a tile the published checkpoint covers."""
        return max(0, min(WIDTH, self._published // _covered(kind) - number * WIDTH))

    def _differs(self, code: str, name: str, message: str, index: int, byte: int) -> None:
        if self.first_difference is None or index < self.first_difference:
            self.first_difference = index
        self._damaged(code, name, message, index, byte)


def _covered(kind: str) -> int:
    """Leaves under one hash or entry of this kind."""
    return 1 if kind == ENTRIES else WIDTH ** int(kind)


def _entry_at(leaves: list[bytes], byte: int) -> int:
    """The entry of a bundle that a byte belongs to."""
    position = 0
    for number, leaf in enumerate(leaves):
        position += 2 + len(leaf)
        if byte < position:
            return number
    return len(leaves)


def first_difference(found: bytes, expected: bytes) -> int | None:
    """The first byte in which the two differ."""
    if found == expected:
        return None
    for position, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return position
    return min(len(found), len(expected))
