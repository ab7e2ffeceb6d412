"""RFC 6962 hashing for the authority's own copy of each tree. Pure.

The signer computes the head that counts; this copy exists to notice, at intake and in `fsck`, that a leaf and
the signed head disagree. It may never produce a head that is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf), RFC 6962 §2.1."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 §2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree: the roots of its perfect subtrees, largest first. Grows by appending."""

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._nodes = list(nodes)
        if len(self._nodes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees")

    def append(self, hashed: bytes) -> None:
        """Add the hash of the next leaf."""
        nodes, size = self._nodes, self.size
        while size & 1:
            hashed = node_hash(nodes.pop(), hashed)
            size >>= 1
        nodes.append(hashed)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves (not yet hashed)."""
        nodes, size, sha256 = self._nodes, self.size, hashlib.sha256
        for leaf in leaves:  # written out: this runs for every token
            hashed = sha256(b"\x00" + leaf).digest()
            rest = size
            while rest & 1:
                hashed = sha256(b"\x01" + nodes.pop() + hashed).digest()
                rest >>= 1
            nodes.append(hashed)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """Merkle tree head."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root

    def copy(self) -> Frontier:
        """An independent copy."""
        return Frontier(self.size, self._nodes)

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, largest first."""
        return tuple(self._nodes)
