"""The Merkle tree of the ledger, RFC 6962 section 2.1, kept as a compact range.

Pure: no input, no output, no clock. May never forget a leaf or change one that it has taken in.
"""

from collections.abc import Iterable
from hashlib import sha256

DIGEST = 32  # bytes


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf)."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\1" + left + right).digest()


class CompactRange:
    """The roots of the perfect subtrees that make up the tree: one per set bit of `size`, widest first."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        """Start empty, or go on from a `state()`; ValueError when it is none."""
        self.size, self._roots = size, list(roots)
        if (
            size < 0
            or len(self._roots) != size.bit_count()
            or any(len(root) != DIGEST for root in self._roots)
        ):
            raise ValueError("the roots do not fit the size")

    def append(self, leaf_hash: bytes) -> None:
        """Take in the hash of the next leaf."""
        node, size, roots = leaf_hash, self.size, self._roots
        while size & 1:
            node = sha256(b"\1" + roots.pop() + node).digest()
            size >>= 1
        roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The tree head; SHA-256 of nothing for the empty tree."""
        if not self._roots:
            return sha256().digest()
        node = self._roots[-1]
        for left in self._roots[-2::-1]:
            node = node_hash(left, node)
        return node

    def state(self) -> tuple[int, tuple[bytes, ...]]:
        """Size and subtree roots: all that is needed to go on, a few hundred bytes."""
        return self.size, tuple(self._roots)
