"""Reads again what was read before, a little in each round: a log that rewrites its past after everybody has
read it is found by whoever looks twice.

Each look takes a bundle and every tile from it up to the signed head, and compares them with each other and
with the head that the monitor's own tree has. May never take a hash of a tile for true before its parent, or
the head, vouches for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from sealwright.errors import Unavailable
from sealwright.ledger.merkle import HASH_BYTES, leaf_hash
from sealwright.ledger.proofs import HEIGHT, Tree
from sealwright.ledger.tiles import WIDTH, perfect_root, tile_path
from sealwright.monitor.model import Broken, Code, Finding
from sealwright_validate.note import Checkpoint

DOUBTED = 8
"""Bundles that were found wrong and are looked at in every round, at most."""
File = Callable[[str, int, int], bytes | None]
"""(kind, number, width) → the bundle or tile as it is served."""
Entries = Callable[[int, int], list[bytes]]
"""(bundle, width) → its entries; raises `Broken` when they are not all there."""


@dataclass(slots=True)
class Sweep:
    """Where to look next. It begins anywhere: a log must not know what is read again, and when."""

    at: int = field(default_factory=lambda: secrets.randbelow(1 << 32))
    doubted: list[int] = field(default_factory=list)

    def turn(self, size: int, count: int) -> list[int]:
        """The bundles of this round, of a log of `size` leaves: those in doubt, and `count` more."""
        bundles = -(-size // WIDTH)
        more = [(self.at + step) % bundles for step in range(min(count, bundles))] if bundles else []
        self.at = (self.at + len(more)) % max(1, bundles)
        return list(dict.fromkeys([*self.doubted[:DOUBTED], *more]))

    def judged(self, number: int, *, sound: bool) -> None:
        """What came of a look."""
        if sound and number in self.doubted:
            self.doubted.remove(number)
        elif not sound and number not in self.doubted:
            self.doubted.append(number)


class Again:
    """Looks at bundles under one head that was read up to before."""

    def __init__(self, file: File, entries: Entries, head: Checkpoint) -> None:
        self._file = file
        self._entries = entries
        self._head = head
        self._whole: set[tuple[int, int]] = set()
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._edge: Finding | None = self._edge_finding()

    def look(self, number: int) -> Finding | None:
        """What is wrong with a bundle, or with a tile between it and the head.

        Raises:
            Unavailable: no answer.
        """
        if self._edge is not None:
            return self._edge
        top = max(level for level in range(HEIGHT) if self._head.size >> (HEIGHT * level))
        for level in range(top, -1, -1):
            finding = self._tile_finding(level, number >> (HEIGHT * level), top)
            if finding is not None:
                return finding
        return self._bundle_finding(number)

    def _edge_finding(self) -> Finding | None:
        """The tiles along the right edge, the topmost among them, lead to the head itself."""
        try:
            if Tree(self._read).root(self._head.size) == self._head.root:
                return None
        except Unavailable as error:
            if error.code != "ledger_damaged":
                raise
            return Finding(
                Code.GAP, f"a tile under the head of {self._head.size} leaves: {error.detail}", None, "edge"
            )
        detail = f"the tiles no longer lead to the head of {self._head.size} leaves"
        return Finding(Code.TREE_DAMAGED, detail, subject="edge")

    def _read(self, level: int, number: int, width: int) -> bytes | None:
        return self._file(str(level), number, width)

    def _width(self, level: int, number: int) -> int:
        return min(WIDTH, (self._head.size >> (HEIGHT * level)) - number * WIDTH)

    def _hashes(self, level: int, number: int) -> list[bytes] | None:
        kept = self._tiles.get((level, number))
        if kept is None:
            width = self._width(level, number)
            data = self._file(str(level), number, width)
            if data is None or len(data) < width * HASH_BYTES:
                return None
            kept = [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
            self._tiles[level, number] = kept
        return kept

    def _tile_finding(self, level: int, number: int, top: int) -> Finding | None:
        """A full tile gives the hash that its parent has, which was looked at before."""
        if level == top or self._width(level, number) < WIDTH or (level, number) in self._whole:
            return None
        name, index = f"tile/{level}/{tile_path(number)}", number * WIDTH ** (level + 1)
        hashes = self._hashes(level, number)
        if hashes is None:
            return Finding(Code.GAP, f"{name} is not served, or is cut short", index, name)
        parent = self._hashes(level + 1, number // WIDTH)
        if parent is None or perfect_root(hashes) != parent[number % WIDTH]:
            return Finding(Code.TILE_EDITED, f"{name} is not the one that was read under", index, name)
        self._whole.add((level, number))
        return None

    def _bundle_finding(self, number: int) -> Finding | None:
        width = self._width(0, number)
        try:
            entries = self._entries(number, width)
        except Broken as broken:
            return broken.finding
        hashes = self._hashes(0, number) or []
        for offset, (entry, hashed) in enumerate(zip(entries, hashes, strict=False)):
            if leaf_hash(entry) != hashed:
                index = number * WIDTH + offset
                return Finding(Code.ENTRY_EDITED, "an entry is no longer the one in the signed tree", index)
        return None
