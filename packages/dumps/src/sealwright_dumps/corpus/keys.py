"""One private key of each common kind, and their standard serialisations.

May never do: write a key anywhere; it returns bytes that end up in test files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12


@dataclass(frozen=True, slots=True)
class Keys:
    """One key of each common kind. ML-DSA as its seed: older libraries cannot hold it."""

    rsa: rsa.RSAPrivateKey
    ec: ec.EllipticCurvePrivateKey
    ed25519: ed25519.Ed25519PrivateKey
    mldsa_seed: bytes

    def all(self) -> tuple[Any, ...]:
        """Those that every supported library version can hold."""
        return (self.rsa, self.ec, self.ed25519)


def make_keys() -> Keys:
    """Fresh keys, none of which has a 64-bit word like an address.

    Where nothing else anchors a key, its words being no addresses is what tells it from other memory. One
    RSA prime in four thousand has such a word, and what is measured here is not that luck.
    """
    return Keys(
        _drawn(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), _primes),
        _drawn(lambda: ec.generate_private_key(ec.SECP256R1()), _scalar),
        _drawn(ed25519.Ed25519PrivateKey.generate, lambda key: key.private_bytes_raw()),
        _drawn(lambda: os.urandom(32), bytes),
    )


def _drawn(draw: Callable[[], Any], words: Callable[[Any], bytes]) -> Any:
    """The first draw whose bytes, as they lie in memory, hold no word below 2**48 either way round."""
    while True:
        key = draw()
        raw = words(key)
        if all(
            both[at + 6 : at + 8] != b"\x00\x00" for both in (raw, raw[::-1]) for at in range(0, len(raw), 8)
        ):
            return key


def _primes(key: rsa.RSAPrivateKey) -> bytes:
    private = key.private_numbers()
    return private.p.to_bytes(128, "little") + private.q.to_bytes(128, "little")


def _scalar(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "little")


def pkcs8(key: Any, *, pem: bool = False, password: bytes = b"") -> bytes:
    """PrivateKeyInfo or, with a password, EncryptedPrivateKeyInfo (RFC 5958)."""
    encoding = ser.Encoding.PEM if pem else ser.Encoding.DER
    cipher = ser.BestAvailableEncryption(password) if password else ser.NoEncryption()
    raw: bytes = key.private_bytes(encoding, ser.PrivateFormat.PKCS8, cipher)
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


def pfx(key: Any) -> bytes:
    """PKCS#12 with a password."""
    cipher = ser.BestAvailableEncryption(b"a password")
    return pkcs12.serialize_key_and_certificates(b"name", key, None, None, cipher)


def public_pem(key: Any) -> bytes:
    """SubjectPublicKeyInfo of a private key."""
    encoding, form = ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo
    raw: bytes = key.public_key().public_bytes(encoding, form)
    return raw


def mldsa_pkcs8(seed: bytes, *, oid: int = 0x12) -> bytes:
    """PrivateKeyInfo of ML-DSA-65 in the seed form (RFC 9881): fixed lengths, so written out."""
    inner = b"\x80\x20" + seed
    octets = b"\x04" + bytes((len(inner),)) + inner
    algorithm = bytes.fromhex("300b060960864801650304") + b"\x03" + bytes((oid,))
    body = b"\x02\x01\x00" + algorithm + octets
    return b"\x30" + bytes((len(body),)) + body
