"""Inclusion and consistency proofs (RFC 9162 §2.1.3, §2.1.4), made from the published tiles.

Every proof is made of nodes of perfect subtrees; each lies in one tile, or is hashed from hashes of one. May
never return a hash that it did not read from a tile: whether the tiles are true is for the caller to check
against the signed root.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from sealwright.errors import Unavailable
from sealwright.ledger.merkle import HASH_BYTES, node_hash
from sealwright.ledger.tiles import WIDTH

HEIGHT = 8
KEPT_TILES = 512
"""Tiles that stay in memory with their inner nodes, about 40 KB each."""

ReadTile = Callable[[int, int, int], bytes | None]
"""(tile level, tile number, width) → the hashes of the tile, one after the other; None when it is absent."""
Pyramid = list[list[bytes]]
"""The levels of a tile from its hashes up: the last has one node when the tile is full."""


class Tree:
    """One log as its tiles have it. Tiles of a width never change, so they are kept; safe for several
    threads.
    """

    def __init__(self, read: ReadTile) -> None:
        self._read = read
        self._kept: OrderedDict[tuple[int, int, int], Pyramid] = OrderedDict()
        self._lock = Lock()

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path from leaf `index` to the root of the first `size` leaves, lowest first.

        Raises:
            ValueError: there is no such leaf.
            Unavailable: `ledger_damaged`; a tile is missing or too short.
        """
        if not 0 <= index < size:
            raise ValueError(f"there is no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        begin, end = 0, size
        while end - begin > 1:
            split = begin + _split(end - begin)
            if index < split:
                path.append(self._range(split, end, size))
                end = split
            else:
                path.append(self._range(begin, split, size))
                begin = split
        path.reverse()
        return path

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The proof that the tree of `second` leaves contains that of `first`.

        Raises:
            ValueError: the sizes are out of order.
            Unavailable: as above.
        """
        if not 0 < first <= second:
            raise ValueError(f"no consistency from {first} to {second}")
        proof: list[bytes] = []
        begin, end, whole = 0, second, True
        while first != end:
            split = begin + _split(end - begin)
            if first <= split:
                proof.append(self._range(split, end, second))
                end = split
            else:
                proof.append(self._range(begin, split, second))
                begin, whole = split, False
        if not whole:
            proof.append(self._range(begin, end, second))
        proof.reverse()
        return proof

    def root(self, size: int) -> bytes:
        """The root of the first `size` leaves, which must be more than none."""
        return self._range(0, size, size)

    def forget(self) -> None:
        """Read everything anew: the files were repaired."""
        with self._lock:
            self._kept.clear()

    def _range(self, begin: int, end: int, size: int) -> bytes:
        """The root over leaves `begin` to `end`, which is a perfect subtree or the right edge of the tree."""
        nodes: list[bytes] = []
        while begin < end:
            level = (end - begin).bit_length() - 1
            nodes.append(self._node(level, begin >> level, size))
            begin += 1 << level
        root = nodes.pop()
        while nodes:
            root = node_hash(nodes.pop(), root)
        return root

    def _node(self, level: int, number: int, size: int) -> bytes:
        """The root of the perfect subtree over leaves `number * 2**level` and on."""
        tile_level, inner = divmod(level, HEIGHT)
        per_tile = HEIGHT - inner
        tile, position = number >> per_tile, number & ((1 << per_tile) - 1)
        pyramid = self._pyramid(tile_level, tile, size)
        return pyramid[inner][position]

    def _pyramid(self, tile_level: int, tile: int, size: int) -> Pyramid:
        hashes = size >> (HEIGHT * tile_level)
        width = min(WIDTH, hashes - tile * WIDTH)
        key = (tile_level, tile, width)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        loaded = self._load(tile_level, tile, width)
        with self._lock:
            self._kept[key] = loaded
            if len(self._kept) > KEPT_TILES:
                self._kept.popitem(last=False)
        return loaded

    def _load(self, tile_level: int, tile: int, width: int) -> Pyramid:
        data = self._read(tile_level, tile, width)
        if data is None or len(data) < width * HASH_BYTES:
            raise Unavailable(
                "ledger_damaged", "the ledger's files are damaged", f"tile {tile_level}/{tile} is cut short"
            )
        level = [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
        pyramid = [level]
        while len(level) > 1:
            level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            pyramid.append(level)
        return pyramid


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)
