"""The witness's own keys: an Ed25519 and an ML-DSA-44 key of one name, and the lines they make.

May never sign anything but a cosignature with a time, nor read a key file that others can read.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sealwright.errors import Misconfigured
from sealwright.files import make_private_directory, read_private, write_private
from sealwright_validate.cosignature import (
    ED25519,
    ML_DSA_44,
    CosignerKey,
    cosigned_message,
    cosigner_key_id,
    parse_cosigner,
)
from sealwright_validate.note import Checkpoint

NAME_FILE = "name"
KEY_FILES = {ED25519: "witness.pem", ML_DSA_44: "witness-mldsa44.pem"}
_TIME = struct.Struct(">Q")
_NAME = re.compile(r"[!-*,-~]{1,200}")
"""Printable ASCII without space and `+` (C2SP signed-note: the key name)."""


@dataclass(frozen=True, slots=True)
class Cosigner:
    """One key of a witness."""

    key: CosignerKey
    sign: Callable[[bytes], bytes]

    @property
    def vkey(self) -> str:
        """What others pin."""
        encoded = b64encode(bytes([self.key.kind]) + self.key.public).decode("ascii")
        return f"{self.key.name}+{self.key.key_id.hex()}+{encoded}"

    def line(self, text: str, head: Checkpoint, at: int) -> str:
        """The cosignature line over a checkpoint, made at `at` (seconds since 1970)."""
        message = cosigned_message(self.key.kind, self.key.name, at, text, head)
        blob = self.key.key_id + _TIME.pack(at) + self.sign(message)
        return f"\u2014 {self.key.name} {b64encode(blob).decode('ascii')}\n"


def open_cosigners(directory: Path, name: str, kinds: Iterable[int] = tuple(KEY_FILES)) -> list[Cosigner]:
    """The keys of these kinds in `directory` under this name; made where there are none.

    Raises:
        Misconfigured: the name cannot be one, or is not that of these keys, or a key file is not ours alone
            or cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise Misconfigured("witness_name", "a witness's name is printable, without a space or +")
    make_private_directory(directory)
    _require_own_name(directory / NAME_FILE, name)
    return [_open(directory / KEY_FILES[kind], name, kind) for kind in kinds]


def _require_own_name(file: Path, name: str) -> None:
    """One key under two names would be two witnesses to whoever pins them (C2SP signed-note)."""
    if not file.exists():
        write_private(file, name.encode())
    made_for = read_private(file).decode("ascii", "replace")
    if made_for != name:
        text = f"the keys in {file.parent} are those of {made_for!r}; give another one its own --state"
        raise Misconfigured("witness_name", text)


def _open(file: Path, name: str, kind: int) -> Cosigner:
    if not file.exists():
        made = Ed25519PrivateKey.generate() if kind == ED25519 else MLDSA44PrivateKey.generate()
        write_private(file, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        key = load_pem_private_key(read_private(file), None)
    except ValueError as error:
        raise Misconfigured("witness_key", f"{file} holds no private key") from error
    if not isinstance(key, Ed25519PrivateKey if kind == ED25519 else MLDSA44PrivateKey):
        raise Misconfigured("witness_key", f"{file} holds a key of another kind")
    return cosigner_of(name, kind, key)


def cosigner_of(name: str, kind: int, key: Ed25519PrivateKey | MLDSA44PrivateKey) -> Cosigner:
    """A cosigner with a key in hand."""
    public = key.public_key().public_bytes_raw()
    encoded = b64encode(bytes([kind]) + public).decode("ascii")
    vkey = f"{name}+{cosigner_key_id(name, kind, public).hex()}+{encoded}"
    return Cosigner(parse_cosigner(vkey), key.sign)
