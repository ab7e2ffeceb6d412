"""Signed notes and checkpoints (C2SP signed-note and tlog-checkpoint), read and verified with one Ed25519
key.

Bytes in, trusted object out. Lines of unknown keys are ignored; a line of the known key that does not verify
refuses the whole note. May never return a text before the known key's signature was verified.
"""

from base64 import b64decode
from binascii import Error
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealwright_validate.errors import Reason, Refused
from sealwright_validate.keyset import LOG_KEY_ID_BYTES, LogKey
from sealwright_validate.merkle import HASH_BYTES, MAX_SIZE

MAX_NOTE_BYTES: Final = 64 * 1024
_MAX_SIGNATURES: Final = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified tree head: the number of leaves and the root over them."""

    origin: str
    size: int
    root: bytes


def open_note(unverified: str, key: LogKey) -> str:
    """The text of a note that `key` signed, with its last line end."""
    text, separator, block = unverified.rpartition("\n\n")
    if len(unverified) > MAX_NOTE_BYTES or not separator or not block.endswith("\n"):
        raise _broken("no signed note")
    if any(character < " " and character != "\n" for character in unverified):
        raise _broken("a control character in a note")
    lines = block[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise _broken("too many signatures")
    signed = f"{text}\n".encode()
    verified = [_verifies(line, signed, key) for line in lines]
    if not any(verified):
        raise _broken("the log's own signature is missing")
    return f"{text}\n"


def open_checkpoint(unverified: str, key: LogKey) -> Checkpoint:
    """A checkpoint of exactly the log whose key is given; extension lines are refused."""
    lines = open_note(unverified, key).split("\n")
    if len(lines) != 4 or lines[3]:  # noqa: PLR2004 - origin, size, root, and the end
        raise _broken("a checkpoint has three lines")
    origin, size, root = lines[:3]
    if origin != key.origin:
        raise _broken("the checkpoint is of another log")
    return Checkpoint(origin, decimal(size), hash_of(root))


def decimal(text: str) -> int:
    """A number without sign and leading zeros, of 63 bits at the most."""
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or (text[0] == "0" and text != "0"):  # noqa: PLR2004
        raise _broken("no plain number")
    number = int(text)
    if number >= MAX_SIZE:
        raise _broken("a number out of range")
    return number


def hash_of(text: str) -> bytes:
    """A hash in standard base64 with padding."""
    data = base64(text)
    if len(data) != HASH_BYTES:
        raise _broken("a hash of another length")
    return data


def base64(text: str) -> bytes:
    """Standard base64 with padding (RFC 4648 §4), strictly."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Error, UnicodeEncodeError):
        raise _broken("no base64") from None
    return data


def _verifies(line: str, signed: bytes, key: LogKey) -> bool:
    """Whether a line is the key's; one that is and does not verify refuses the note."""
    name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
    if not line.startswith("\u2014 ") or not name or not encoded:
        raise _broken("a signature line is malformed")
    blob = base64(encoded)
    if name != key.origin or blob[:LOG_KEY_ID_BYTES] != key.key_id:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(blob[LOG_KEY_ID_BYTES:], signed)
    except (InvalidSignature, ValueError):
        raise _broken("the log's signature is invalid") from None
    return True


def _broken(detail: str) -> Refused:
    return Refused(Reason.RECEIPT_INVALID, detail)
