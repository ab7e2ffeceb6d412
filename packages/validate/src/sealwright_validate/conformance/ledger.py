"""A throw-away ledger: leaves, tree, checkpoints and receipts of the throw-away authority's tokens.

Kept in memory and computed the slow, plain way, so that it can be compared with. May never hold anything
else.
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from secrets import token_bytes

from sealwright_validate.conformance.authority import Incarnation
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import EMPTY_ROOT, leaf_hash, node_hash


class ThrowawayLedger:
    """The log of one incarnation."""

    def __init__(self, incarnation: Incarnation) -> None:
        self.incarnation = incarnation
        self.leaves: list[bytes] = []
        self.records: list[bytes] = []

    def append(self, leaf_without_record: bytes) -> int:
        """Append a token's leaf under a new private record; returns its index."""
        record = sha256(token_bytes(16)).digest()
        self.records.append(record)
        self.leaves.append(leaf_without_record + record)
        return len(self.leaves) - 1

    def checkpoint(self, size: int | None = None) -> str:
        """A signed tree head over the first `size` leaves."""
        leaves = self.leaves if size is None else self.leaves[:size]
        root = b64encode(root_of([leaf_hash(leaf) for leaf in leaves])).decode("ascii")
        return self.sign(f"{self.incarnation.origin}\n{len(leaves)}\n{root}\n")

    def sign(self, text: str) -> str:
        """A signed note with one line of the identity key."""
        public = self.incarnation.identity.private.public_key()
        key = LogKey(self.incarnation.origin, _raw(public))
        blob = key.key_id + self.incarnation.identity.sign(text.encode())
        return f"{text}\n\u2014 {self.incarnation.origin} {b64encode(blob).decode('ascii')}\n"

    def receipt(self, index: int, size: int | None = None) -> str:
        """The tlog-proof of one leaf."""
        hashes = [leaf_hash(leaf) for leaf in (self.leaves if size is None else self.leaves[:size])]
        lines = [b64encode(each).decode("ascii") for each in path_of(hashes, index)]
        extra = b64encode(self.records[index]).decode("ascii")
        head = "\n".join(["c2sp.org/tlog-proof@v1", f"extra {extra}", f"index {index}", *lines])
        return f"{head}\n\n{self.checkpoint(size)}"


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root by its definition (RFC 9162 §2.1.1)."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = _split(len(hashes))
    return node_hash(root_of(hashes[:split]), root_of(hashes[split:]))


def path_of(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """An inclusion proof by its definition (RFC 9162 §2.1.3.1)."""
    if len(hashes) == 1:
        return []
    split = _split(len(hashes))
    if index < split:
        return [*path_of(hashes[:split], index), root_of(hashes[split:])]
    return [*path_of(hashes[split:], index - split), root_of(hashes[:split])]


def consistency_of(hashes: Sequence[bytes], first: int, *, whole: bool = True) -> list[bytes]:
    """A consistency proof by its definition (RFC 9162 §2.1.4.1)."""
    if first == len(hashes):
        return [] if whole else [root_of(hashes)]
    split = _split(len(hashes))
    if first <= split:
        return [*consistency_of(hashes[:split], first, whole=whole), root_of(hashes[split:])]
    return [*consistency_of(hashes[split:], first - split, whole=False), root_of(hashes[:split])]


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _raw(public: object) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(public, Ed25519PublicKey):
        raise TypeError("an identity key is an Ed25519 key")
    return public.public_bytes_raw()
