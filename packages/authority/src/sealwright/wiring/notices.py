"""The key that signs notices: Ed25519, in a file of the state directory that only its owner can read.

It signs letters to people and nothing else: with it nobody gets in anywhere. Made when it is first needed.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sealwright.errors import Misconfigured
from sealwright.files import make_private_directory, write_private


class FileNoticeSigner:
    """`NoticeSigner` with a key in a file."""

    def __init__(self, directory: Path) -> None:
        make_private_directory(directory)
        file = directory / "notice.key"
        if not file.exists():
            made = Ed25519PrivateKey.generate()
            write_private(file, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        try:
            key = load_pem_private_key(file.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise Misconfigured("bad_notice_key", f"{file} cannot be read: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Misconfigured("bad_notice_key", f"{file} holds no Ed25519 key")
        self._key = key
        x = _base64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        required = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
        self._kid = _base64url(hashlib.sha256(required.encode()).digest())
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self._kid, "alg": "EdDSA", "use": "sig"}
        self.jwks: dict[str, Any] = {"keys": [jwk]}

    def sign_notice(self, signing_input: bytes) -> bytes:
        """See the port."""
        return self._key.sign(signing_input)

    def notice_kid(self) -> str:
        """See the port."""
        return self._kid


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
