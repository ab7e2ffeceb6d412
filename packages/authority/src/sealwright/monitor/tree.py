"""The monitor's own tree of a log: what it has read, hashed again, as a few subtree roots.

Whole bundles are hashed at once, level by level: this is where a monitor spends its time. Pure. May never
take a hash from a tile as its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from sealwright.ledger.merkle import EMPTY_ROOT, leaf_hash, node_hash
from sealwright.ledger.tiles import WIDTH


class ReadTree:
    """Grows by leaves, in order."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)
        if size < 0 or len(self._roots) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees")

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Take the next leaves; a whole bundle in its place goes fast."""
        if len(leaves) == WIDTH and not self.size % WIDTH:
            self._add(bundle_root(leaves), WIDTH)
        else:
            for leaf in leaves:
                self._add(leaf_hash(leaf), 1)

    def _add(self, node: bytes, width: int) -> None:
        roots, filled = self._roots, self.size // width
        while filled & 1:
            node = node_hash(roots.pop(), node)
            filled >>= 1
        roots.append(node)
        self.size += width

    def root(self) -> bytes:
        """The tree head."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for node in self._roots[-2::-1]:
            root = node_hash(node, root)
        return root

    def copy(self) -> ReadTree:
        """An independent copy."""
        return ReadTree(self.size, self._roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, largest first."""
        return tuple(self._roots)


def bundle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over a power of two of leaves (RFC 6962 §2.1)."""
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]
