"""Merkle tree proofs (RFC 9162 §2.1, same hashing as RFC 6962): inclusion and consistency.

Pure. Functions return only if the proof holds, and raise Refused otherwise. May never accept a proof with a
hash too many, too few, or of another length.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sealwright_validate.errors import Reason, Refused

HASH_BYTES: Final = 32
MAX_SIZE: Final = 1 << 63
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def require_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """The leaf with this hash is at `index` in the tree of `size` leaves with this root (RFC 9162
    §2.1.3.2).
    """
    _require_hashes((leaf, root, *proof))
    if not 0 <= index < size <= MAX_SIZE:
        raise _broken("the index is not in the tree")
    at, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _broken("the proof is too long")
        if at & 1 or at == last:
            computed = node_hash(sibling, computed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise _broken("the proof is too short")
    if computed != root:
        raise _broken("the proof leads to another root")


def require_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """The tree of `second` leaves contains that of `first` leaves unchanged (RFC 9162 §2.1.4.2)."""
    _require_hashes((first_root, second_root, *proof))
    if not 0 < first <= second <= MAX_SIZE:
        raise _broken("the sizes are out of order")
    if first == second:
        if proof or first_root != second_root:
            raise _broken("two trees of one size")
        return
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        raise _broken("the proof is too short")
    if _fold(first, second, path) != (first_root, second_root):
        raise _broken("the proof leads to other roots")


def _fold(first: int, second: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The two roots that a consistency path leads to."""
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _broken("the proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise _broken("the proof is too short")
    return old, new


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise _broken("a hash of another length")


def _broken(detail: str) -> Refused:
    return Refused(Reason.RECEIPT_INVALID, detail)
