"""One private key of each common kind, and their standard serialisations.

May never do: write a key anywhere; it returns bytes that end up in test files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


@dataclass(frozen=True, slots=True)
class Keys:
    """One key of each common kind."""

    rsa: rsa.RSAPrivateKey
    ec: ec.EllipticCurvePrivateKey
    ed25519: ed25519.Ed25519PrivateKey

    def all(self) -> tuple[Any, ...]:
        """All of them."""
        return (self.rsa, self.ec, self.ed25519)


def make_keys() -> Keys:
    """Fresh keys."""
    return Keys(
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
    )


def pkcs8(key: Any, *, pem: bool = False) -> bytes:
    """PrivateKeyInfo (RFC 5958)."""
    encoding = ser.Encoding.PEM if pem else ser.Encoding.DER
    raw: bytes = key.private_bytes(encoding, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return raw


def traditional(key: Any, *, pem: bool = False) -> bytes:
    """RSAPrivateKey (RFC 8017) or ECPrivateKey (RFC 5915)."""
    encoding = ser.Encoding.PEM if pem else ser.Encoding.DER
    raw: bytes = key.private_bytes(encoding, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption())
    return raw


def openssh(key: Any) -> bytes:
    """The OpenSSH text format."""
    raw: bytes = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption())
    return raw
