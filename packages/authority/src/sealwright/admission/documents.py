"""Signs root and admission documents: JWS with Ed25519 (docs/formats/key-manifest.md).

May never sign anything but those two types, and never returns, logs or prints a private key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sealwright.admission.model import canonical
from sealwright.errors import Misconfigured

ROOT_TYPE = "sealwright-root+jwt"
ADMISSION_TYPE = "sealwright-admission+jwt"


def b64u(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text: str) -> bytes:
    """The bytes of base64url text without padding. ValueError for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def public_jwk(public: Ed25519PublicKey) -> dict[str, str]:
    """The JWK of an Ed25519 public key (RFC 8037), required members only."""
    return {"crv": "Ed25519", "kty": "OKP", "x": b64u(public.public_bytes_raw())}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638 thumbprint of an Ed25519 JWK."""
    return b64u(hashlib.sha256(canonical({name: jwk[name] for name in ("crv", "kty", "x")})).digest())


@dataclass(frozen=True, slots=True)
class DocumentSigner:
    """A private key that signs documents of one type."""

    typ: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def jwk(self) -> dict[str, str]:
        """The public half."""
        return public_jwk(self.key.public_key())

    @property
    def kid(self) -> str:
        """Its RFC 7638 thumbprint."""
        return thumbprint(self.jwk)

    def parts(self, payload: Mapping[str, Any]) -> tuple[str, str, str]:
        """Protected header, payload and signature, each base64url. The signature was verified."""
        header = b64u(canonical({"alg": "EdDSA", "kid": self.kid, "typ": self.typ}))
        body = b64u(canonical(payload))
        signing_input = f"{header}.{body}".encode()
        signature = self.key.sign(signing_input)
        self.key.public_key().verify(signature, signing_input)
        return header, body, b64u(signature)

    def compact(self, payload: Mapping[str, Any]) -> str:
        """A JWS in compact serialisation."""
        return ".".join(self.parts(payload))

    def general(self, payload: Mapping[str, Any]) -> bytes:
        """A JWS in general JSON serialisation with this one signature."""
        header, body, signature = self.parts(payload)
        return canonical({"payload": body, "signatures": [{"protected": header, "signature": signature}]})


def new_private_key() -> bytes:
    """A new Ed25519 key as PKCS#8 PEM, for a file of mode 0600."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_signer(typ: str, pem: bytes, where: str) -> DocumentSigner:
    """The signer whose key is in `pem`.

    Raises:
        Misconfigured: `bad_key_file` unless it is an Ed25519 key.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise Misconfigured("bad_key_file", f"{where} holds no unencrypted PKCS#8 key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured("bad_key_file", f"{where} holds a key that is not Ed25519")
    return DocumentSigner(typ, key)


def spki_of(jwk: Mapping[str, str]) -> bytes:
    """SubjectPublicKeyInfo (DER) of an identity key. ValueError or KeyError when it is no Ed25519 JWK."""
    if jwk["kty"] != "OKP" or jwk["crv"] != "Ed25519":
        raise ValueError("not an Ed25519 JWK")
    public = Ed25519PublicKey.from_public_bytes(from_b64u(jwk["x"]))
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def log_id_of(jwk: Mapping[str, str]) -> str:
    """The log id of an identity key (docs/formats/ledger.md). Errors as in `spki_of`."""
    return base64.b32encode(hashlib.sha256(spki_of(jwk)).digest()[:10]).decode().lower()
