"""The identity of one incarnation: an Ed25519 key made at start, which signs its ledger and its documents.

May never write, export or derive the private half, but for its fingerprint (ADR 0020); it ends with the
process.
"""

import base64
import os
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_signer import fingerprint, jws
from sealwright_signer.protocol import canonical, encode


def spki_of(public: bytes) -> bytes:
    """The SubjectPublicKeyInfo in DER of a raw Ed25519 key (RFC 8410 section 4)."""
    return bytes.fromhex("302a300506032b6570032100") + public


def log_id_of(public: bytes) -> str:
    """The log id of a raw Ed25519 identity key (docs/formats/ledger.md)."""
    return base64.b32encode(sha256(spki_of(public)).digest()[:10]).decode().lower()


class FaultySignature(Exception):
    """A signature was computed wrongly: the process ends before it leaves."""


class Identity:
    """An incarnation's name and signature."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key()
        self.jwk, self.public = jws.public_jwk(public), public.public_bytes_raw()
        self.kid, self.log_id = jws.thumbprint(self.jwk), log_id_of(self.public)
        self.salt = os.urandom(32)  # of every fingerprint that this incarnation makes
        self.marks = fingerprint.of(self._key, self.salt)

    def sign(self, message: bytes) -> bytes:
        """The signature, made twice: Ed25519 has one for a message, and a faulty one gives the key away."""
        signature = self._key.sign(message)
        if self._key.sign(message) != signature:
            raise FaultySignature("two signatures of one message differ")
        return signature

    def document(self, typ: str, payload: object) -> str:
        """A compact JWS over the JSON of `payload`."""
        header = jws.b64u(canonical({"alg": "EdDSA", "kid": self.kid, "typ": typ}))
        signing_input = f"{header}.{jws.b64u(encode(payload).encode())}"
        return f"{signing_input}.{jws.b64u(self.sign(signing_input.encode()))}"
