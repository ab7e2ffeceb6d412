"""C2SP signed notes and checkpoints (signed-note v1.0.0, tlog-checkpoint v1.0.0), reading side.

Signing happens in the signer and nowhere else; this module holds no private key.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealwright.errors import Refused

_ED25519 = 0x01
_KEY_ID_BYTES = 4
_SEPARATOR = "\n\n"
MAX_NOTE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Verifier:
    """A parsed verifier key: name, key id and Ed25519 public key."""

    name: str
    key_id: bytes
    key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified tree head."""

    origin: str
    size: int
    root: bytes


def parse_vkey(vkey: str) -> Verifier:
    """Parse `name+hex(key id)+base64(type || public key)`.

    Raises:
        Refused: `malformed_vkey`.
    """
    try:
        name, key_id, encoded = vkey.split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw[1:])
        claimed = bytes.fromhex(key_id)
    except ValueError as error:
        raise Refused("malformed_vkey", "not a verifier key", str(error)) from error
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:_KEY_ID_BYTES]
    if raw[0] != _ED25519 or claimed != expected:
        raise Refused("malformed_vkey", "not an Ed25519 verifier key, or its key id is of another key")
    return Verifier(name, expected, key)


def open_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """Verify a signed checkpoint under one log's key and parse it.

    Unknown signature lines are ignored; the log's own line must be there and verify.

    Raises:
        Refused: `malformed_checkpoint` or `checkpoint_signature`.
    """
    text, signatures = _parts(note)
    _require_signature(text, signatures, verifier)
    return _checkpoint(text, verifier)


def parse_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """Parse a checkpoint of one log without a look at its signatures, for who knows it to be verified.

    Raises:
        Refused: `malformed_checkpoint`.
    """
    return _checkpoint(_parts(note)[0], verifier)


def _parts(note: str) -> tuple[str, str]:
    if len(note) > MAX_NOTE_BYTES or _SEPARATOR not in note:
        raise Refused("malformed_checkpoint", "not a signed note")
    text, _, signatures = note.rpartition(_SEPARATOR)
    return text + "\n", signatures


def _checkpoint(text: str, verifier: Verifier) -> Checkpoint:
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError) as error:
        raise Refused("malformed_checkpoint", "not a checkpoint", str(error)) from error
    if str(size) != lines[1] or size < 0 or len(root) != hashlib.sha256().digest_size:
        raise Refused("malformed_checkpoint", "size or root is not in canonical form")
    if origin != verifier.name:
        raise Refused("malformed_checkpoint", "the checkpoint is of another log", origin)
    return Checkpoint(origin, size, root)


def _require_signature(text: str, signatures: str, verifier: Verifier) -> None:
    prefix = f"— {verifier.name} "
    for line in signatures.split("\n"):
        if not line.startswith(prefix):
            continue
        try:
            raw = base64.b64decode(line[len(prefix) :], validate=True)
        except ValueError as error:
            raise Refused("malformed_checkpoint", "a signature line is not base64") from error
        if raw[:_KEY_ID_BYTES] != verifier.key_id:
            continue
        try:
            verifier.key.verify(raw[_KEY_ID_BYTES:], text.encode())
        except InvalidSignature as error:
            raise Refused("checkpoint_signature", "the checkpoint's signature is wrong") from error
        return
    raise Refused("checkpoint_signature", "the checkpoint is not signed by its log")
