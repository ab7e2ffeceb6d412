"""The identity of one incarnation: an Ed25519 key made at start, which signs its ledger and its documents.

May never write, export or derive the private half; it ends with the process.
"""

import base64
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright_signer import jws
from sealwright_signer.jws import Verifier

_SPKI = bytes.fromhex("302a300506032b6570032100")  # what precedes an Ed25519 key in DER (RFC 8410 section 4)


def log_id_of(public: bytes) -> str:
    """The log id of a raw Ed25519 identity key (docs/formats/ledger.md)."""
    return base64.b32encode(sha256(_SPKI + public).digest()[:10]).decode().lower()


class Identity:
    """An incarnation's name and signature."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key()
        self.jwk = jws.public_jwk(public)
        self.kid = jws.thumbprint(self.jwk)
        self.public = public.public_bytes_raw()
        self.log_id = log_id_of(self.public)
        self.verify: Verifier = public.verify
        self.sign_unchecked = key.sign

    def sign(self, message: bytes) -> bytes:
        """The signature, verified before it is returned: a faulty Ed25519 signature gives the key away."""
        signature = self.sign_unchecked(message)
        self.verify(signature, message)
        return signature

    def document(self, typ: str, payload: object) -> str:
        """A compact JWS over the JSON of `payload`."""
        signing_input = jws.document_input(self.kid, typ, payload)
        return f"{signing_input}.{jws.b64u(self.sign(signing_input.encode()))}"
