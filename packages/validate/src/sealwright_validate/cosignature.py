"""Cosignatures of witnesses on checkpoints (C2SP tlog-cosignature): Ed25519 `cosignature/v1` and ML-DSA-44.

Bytes in, verified time out; no clock. Lines of unknown keys are ignored; a line of a known key that does not
verify refuses the whole note. May never count a line whose signature was not verified.
"""

import struct
from binascii import Error
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.note import Checkpoint, base64

ED25519: Final = 0x04
ML_DSA_44: Final = 0x06
KEY_ID_BYTES: Final = 4
MAX_COSIGNED_AT: Final = (1 << 63) - 1
_TIME: Final = struct.Struct(">Q")
_SUBTREE_LABEL: Final = b"subtree/v1\n\0"
_MAX_NAME: Final = 255

Verify = Callable[[bytes, bytes], None]


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """A witness's public key with its name: what `name+id+key` says (C2SP signed-note, "Verifier keys")."""

    name: str
    kind: int
    public: bytes
    verify: Verify = field(repr=False, compare=False)

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256(name || 0x0A || type || key)."""
        return cosigner_key_id(self.name, self.kind, self.public)


def cosigner_key_id(name: str, kind: int, public: bytes) -> bytes:
    """First four bytes of SHA-256(name || 0x0A || type || key) (C2SP signed-note)."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:KEY_ID_BYTES]


def parse_cosigner(vkey: str) -> CosignerKey:
    """A witness's verifier key, type 0x04 or 0x06; raises Misconfigured: it is the operator's own setting."""
    try:
        name, claimed, encoded = vkey.split("+", 2)
        raw = base64(encoded)
        kind, public = raw[0], raw[1:]
        key = CosignerKey(name, kind, public, _verifier(kind, public))
        wrong = bytes.fromhex(claimed) != key.key_id
    except (ValueError, IndexError, Error, Refused, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{vkey[:100]!r} is no verifier key of a witness ({error})") from None
    if wrong or not name or any(character in name for character in " +\n\t"):
        raise Misconfigured(f"{vkey[:100]!r}: the key id is that of another key, or the name cannot be one")
    return key


def _verifier(kind: int, public: bytes) -> Verify:
    if kind == ED25519:
        return Ed25519PublicKey.from_public_bytes(public).verify
    if kind == ML_DSA_44:
        return MLDSA44PublicKey.from_public_bytes(public).verify
    raise ValueError("witness keys are of type 4 (Ed25519) or 6 (ML-DSA-44)")


def cosigned_message(kind: int, name: str, at: int, text: str, head: Checkpoint) -> bytes:
    """What a witness called `name` signs at `at` (seconds since 1970) over a checkpoint with this text."""
    if kind == ED25519:
        return f"cosignature/v1\ntime {at}\n{text}".encode()
    named, origin = name.encode(), head.origin.encode()
    if not 0 < len(named) <= _MAX_NAME or not 0 < len(origin) <= _MAX_NAME:
        raise Refused(Reason.RECEIPT_INVALID, "a name is too long for this kind of cosignature")
    packed = [_SUBTREE_LABEL, bytes([len(named)]), named, _TIME.pack(at), bytes([len(origin)]), origin]
    return b"".join([*packed, _TIME.pack(0), _TIME.pack(head.size), head.root])


def cosigned_by(unverified: str, head: Checkpoint, keys: Collection[CosignerKey]) -> dict[CosignerKey, int]:
    """Which of `keys` cosigned the note, and when (seconds since 1970).

    `head` is what the note says; its text and the log's own signature have been verified by the caller.
    """
    text, _, block = unverified.rpartition("\n\n")
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[CosignerKey, int] = {}
    for line in block.removesuffix("\n").split("\n"):
        name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
        blob = base64(encoded)
        key = known.get((name, blob[:KEY_ID_BYTES]))
        if key is not None:
            found[key] = _verified_time(key, blob[KEY_ID_BYTES:], f"{text}\n", head)
    return found


def _verified_time(key: CosignerKey, stamped: bytes, text: str, head: Checkpoint) -> int:
    try:
        (at,) = _TIME.unpack_from(stamped)
        message = cosigned_message(key.kind, key.name, at, text, head)
        key.verify(stamped[_TIME.size :], message)
    except (struct.error, ValueError, InvalidSignature):
        raise Refused(Reason.RECEIPT_INVALID, f"the cosignature of {key.name} is invalid") from None
    if not 0 < at <= MAX_COSIGNED_AT:
        raise Refused(Reason.RECEIPT_INVALID, f"the cosignature of {key.name} has no time")
    return int(at)
