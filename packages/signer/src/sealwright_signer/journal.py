"""The ledger's side of the signer: leaves, tree, checkpoints, and what waits for acknowledgement.

Formats: docs/formats/ledger.md. May never hand out a leaf without a checkpoint over it, nor forget one before
the authority has said that it is durable.
"""

import binascii
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sealwright_signer.protocol import Code, Refused, canonical, decode, encode, require
from sealwright_signer.tree import CompactRange, leaf_hash

MAX_PENDING = 4_096  # leaves
MAX_PENDING_CHARS = 4 << 20  # of base64, so that all of it fits one frame of `hello`
TOKEN, KEY_EVENT, STATEMENT = 1, 2, 3
_TOKEN = struct.Struct(">2B32s32sQQ32s")
_MEMBERS = {KEY_EVENT: {"at", "event", "kid", "realm"}, STATEMENT: {"at", "digest", "type"}}


@dataclass(frozen=True, slots=True)
class TokenLeaf:
    """A token's leaf: digests of signing input and private record, raw key id, times in seconds."""

    digest: bytes
    kid: bytes
    iat: int
    exp: int
    record: bytes


def token_leaf(digest: bytes, kid: bytes, iat: int, exp: int, record: bytes) -> bytes:
    """The 114 bytes of a token's leaf."""
    return _TOKEN.pack(1, TOKEN, digest, kid, iat, exp, record)


def json_leaf(kind: int, **members: object) -> bytes:
    """The leaf of a key event or a statement."""
    return bytes((1, kind)) + canonical(members)


def parse_leaf(unverified: bytes) -> TokenLeaf | dict[str, Any]:
    """A token, or the members of a key event or statement; ValueError when it is no leaf."""
    kind = unverified[1] if unverified[:1] == b"\1" and len(unverified) > 1 else 0
    if kind == TOKEN and len(unverified) == _TOKEN.size:
        return TokenLeaf(*_TOKEN.unpack(unverified)[2:])
    try:
        members = decode(unverified[2:])
    except Refused as error:
        raise ValueError(error.message) from None
    whole = type(members) is dict and members.keys() >= _MEMBERS.get(kind, {"?"})
    if not whole or canonical(members) != unverified[2:]:
        raise ValueError("not a leaf of version 1, or not in its one form")
    return dict(members)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The body of a checkpoint (C2SP tlog-checkpoint), the part that is signed."""
    return f"{origin}\n{size}\n{binascii.b2a_base64(root, newline=False).decode()}\n"


def note_key_id(name: str, public: bytes) -> bytes:
    """First four bytes of SHA-256(name || 0x0A || 0x01 || key) (C2SP signed-note)."""
    return sha256(name.encode() + b"\n\1" + public).digest()[:4]


def vkey(name: str, public: bytes) -> str:
    """The verifier key of a note: name+hash+key (C2SP signed-note)."""
    key = binascii.b2a_base64(b"\1" + public, newline=False).decode()
    return f"{name}+{note_key_id(name, public).hex()}+{key}"


def note(text: str, name: str, key_id: bytes, signature: bytes) -> str:
    """A signed note with one Ed25519 signature (C2SP signed-note)."""
    return f"{text}\n\u2014 {name} {binascii.b2a_base64(key_id + signature, newline=False).decode()}\n"


class Journal:
    """One incarnation's log as far as the signer keeps it: the tree's edge and the leaves not yet durable."""

    def __init__(self, origin: str, public: bytes, sign: Callable[[bytes], bytes]) -> None:
        """`sign` makes an Ed25519 signature with the identity key whose raw public half is `public`."""
        self.log_id = origin.rpartition("/")[2]
        self.origin, self.vkey, self.acked, self.checkpoint = origin, vkey(origin, public), 0, ""
        self._key_id, self._sign = note_key_id(origin, public), sign
        self._tree, self._pending, self._chars, self._returned = CompactRange(), list[str](), 0, 0

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._tree.size

    def require_room(self, leaves: int = 1) -> None:
        """Refused when too many leaves would wait for acknowledgement."""
        room = len(self._pending) + leaves <= MAX_PENDING and self._chars <= MAX_PENDING_CHARS
        require(room, Code.too_many_pending, "acknowledge leaves first")

    def append(self, leaves: Iterable[bytes]) -> None:
        """Take leaves in and sign the new tree head over everything."""
        tree, encode64 = self._tree, binascii.b2a_base64
        for leaf in leaves:
            tree.append(leaf_hash(leaf))
            text = encode64(leaf, newline=False).decode()
            self._chars += len(text)
            self._pending.append(text)
        text = checkpoint_text(self.origin, tree.size, tree.root())
        self.checkpoint = note(text, self.origin, self._key_id, self._sign(text.encode()))

    def batch(self) -> str:
        """JSON of the leaves that no answer has carried yet, with the newest checkpoint; now one has."""
        first, self._returned = max(self._returned, self.acked), self.size
        return self._json(first, self._pending[first - self.acked :])

    def pending(self) -> str:
        """JSON list of at most one batch: everything not acknowledged; it counts as carried."""
        self._returned = self.size
        return f"[{self._json(self.acked, self._pending)}]" if self._pending else "[]"

    def acknowledge(self, size: int) -> None:
        """Everything below `size` is durable and need not be kept."""
        possible = self.acked <= size <= self._returned
        require(possible, Code.bad_request, "less than was acknowledged, or more than was returned")
        done = size - self.acked
        self._chars -= sum(map(len, self._pending[:done]))
        del self._pending[:done]
        self.acked = size

    def _json(self, first: int, leaves: Sequence[str]) -> str:
        listed = '","'.join(leaves)  # base64: nothing in it needs an escape
        told = f'["{listed}"]' if leaves else "[]"
        return f'{{"first":{first},"leaves":{told},"checkpoint":{encode(self.checkpoint)}}}'
