"""The transmitter's own key: RSA, made at start, kept in memory, published at its JWKS.

It signs security events and nothing else, and is no token key: with it nobody gets in anywhere. A restart
makes a new one; receivers refetch the JWKS when they meet an unknown kid.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

KEY_BITS = 2_048
"""What the interoperability profile asks for at least. The key lives as long as its process, its signatures
matter for minutes, and a revocation to fifty receivers is a hundred and fifty of them at once.
"""
PUBLIC_EXPONENT = 65_537


class RsaSetSigner:
    """`SetSigner` with an RSA key in this process's memory."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(PUBLIC_EXPONENT, KEY_BITS)
        numbers = self._key.public_key().public_numbers()
        required = {"e": _integer(numbers.e), "kty": "RSA", "n": _integer(numbers.n)}
        thumbprint = hashlib.sha256(json.dumps(required, separators=(",", ":"), sort_keys=True).encode())
        self.kid = _base64url(thumbprint.digest())
        self._jwk = {**required, "kid": self.kid, "alg": "RS256", "use": "sig"}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """See the port."""
        header = {"alg": "RS256", "kid": self.kid, "typ": "secevent+jwt"}
        signing_input = ".".join(_base64url(msgspec.json.encode(part)) for part in (header, dict(claims)))
        signature = self._key.sign(signing_input.encode(), PKCS1v15(), SHA256())
        return f"{signing_input}.{_base64url(signature)}"

    def jwks(self) -> dict[str, Any]:
        """See the port."""
        return {"keys": [dict(self._jwk)]}


def _integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
