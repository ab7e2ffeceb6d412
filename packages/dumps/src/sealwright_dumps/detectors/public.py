"""Names a key by its public half, and knows the public keys whose private halves are looked for.

May never do: hold a private key longer than the check that it is one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519

from sealwright_dumps import given
from sealwright_dumps.errors import Misconfigured

LOAD_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, OverflowError)
_CURVES: tuple[ec.EllipticCurve, ...] = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1())


def key_id(public_key: Any) -> str:
    """The id: `spki-sha256:` and the SHA-256 of the SubjectPublicKeyInfo in hexadecimal."""
    spki = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "spki-sha256:" + hashlib.sha256(spki).hexdigest()


def algorithm_of(key: Any) -> str:
    """A short name, such as rsa-2048, ec-secp256r1, ed25519 or ml-dsa-65."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"ec-{key.curve.name}"
    names: tuple[tuple[Any, str], ...] = (
        ((ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey), "ed25519"),
        ((ed448.Ed448PrivateKey, ed448.Ed448PublicKey), "ed448"),
        ((x25519.X25519PrivateKey, x25519.X25519PublicKey), "x25519"),
        ((x448.X448PrivateKey, x448.X448PublicKey), "x448"),
        ((dsa.DSAPrivateKey, dsa.DSAPublicKey), "dsa"),
    )
    for kinds, name in names:
        if isinstance(key, kinds):
            return name
    name = type(key).__name__.lower()
    for suffix in ("privatekey", "publickey"):
        name = name.removesuffix(suffix)
    return name.replace("mldsa", "ml-dsa-").replace("mlkem", "ml-kem-")


def load_private_der(blob: bytes) -> Any:
    """A private key from DER. Raises one of LOAD_ERRORS.

    The library's own check of an RSA key tests its primes, which takes fifty times as long as the product
    does.
    """
    key = serialization.load_der_private_key(blob, None, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        if numbers.p * numbers.q != numbers.public_numbers.n:
            raise ValueError("the primes are not the modulus's")
    return key


def rsa_key_id(modulus: int, exponent: int) -> str:
    """The key id of an RSA public key, or nothing when the numbers are not one."""
    try:
        return key_id(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    except LOAD_ERRORS:
        return ""


@dataclass(slots=True)
class PublicKeys:
    """Public keys whose private halves are to be found in any form."""

    moduli: dict[int, str] = field(default_factory=dict)
    points: dict[tuple[str, int, int], str] = field(default_factory=dict)
    raw: dict[bytes, str] = field(default_factory=dict)
    curves: set[str] = field(default_factory=set)

    def add(self, key: Any) -> str:
        """Take one public key in; its id."""
        name = key_id(key)
        if isinstance(key, rsa.RSAPublicKey):
            self.moduli[key.public_numbers().n] = name
        elif isinstance(key, ec.EllipticCurvePublicKey):
            numbers = key.public_numbers()
            self.points[(key.curve.name, numbers.x, numbers.y)] = name
            self.curves.add(key.curve.name)
        elif hasattr(key, "public_bytes_raw"):
            self.raw[key.public_bytes_raw()] = name
        return name

    def __bool__(self) -> bool:
        return bool(self.moduli or self.points or self.raw)

    def of_scalar(self, scalar: int, size: int) -> tuple[str, str]:
        """The (key id, algorithm) of the known point that `scalar` gives on a known curve of `size` bytes, or
        empty.
        """
        for curve in _CURVES:
            if curve.name not in self.curves or (curve.key_size + 7) // 8 > size:
                continue
            try:
                numbers = ec.derive_private_key(scalar, curve).public_key().public_numbers()
            except LOAD_ERRORS:
                continue
            found = self.points.get((curve.name, numbers.x, numbers.y))
            if found:
                return found, f"ec-{curve.name}"
        return "", ""

    def of_seed(self, seed: bytes) -> tuple[str, str]:
        """The (id, algorithm) of the known Ed25519, X25519 or ML-DSA key that a 32-byte seed expands to, or
        empty.
        """
        for maker in _seed_makers():
            try:
                public = maker(seed).public_key()
            except LOAD_ERRORS:
                continue
            found = self.raw.get(public.public_bytes_raw())
            if found:
                return found, algorithm_of(public)
        return "", ""


def _seed_makers() -> tuple[Any, ...]:
    makers: list[Any] = [
        ed25519.Ed25519PrivateKey.from_private_bytes,
        x25519.X25519PrivateKey.from_private_bytes,
    ]
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa
    except (
        ImportError
    ):  # an older cryptography: ML-DSA seeds cannot be expanded, and such keys cannot be loaded
        return tuple(makers)
    makers += [
        mldsa.MLDSA44PrivateKey.from_seed_bytes,
        mldsa.MLDSA65PrivateKey.from_seed_bytes,
        mldsa.MLDSA87PrivateKey.from_seed_bytes,
    ]
    return tuple(makers)


def load(paths: Iterable[Path]) -> PublicKeys:
    """Public keys and certificates, PEM or DER, one or several per file. Raises Misconfigured."""
    keys = PublicKeys()
    for path in paths:
        try:
            blob = given.read(path)
        except OSError as error:
            raise Misconfigured("public-key-unreadable", f"{path}: {error.strerror or error}") from error
        loaded = _load_blob(blob)
        if not loaded:
            raise Misconfigured("public-key-unreadable", f"{path}: no public key or certificate in it")
        for key in loaded:
            keys.add(key)
    return keys


def _load_blob(blob: bytes) -> list[Any]:
    from cryptography import x509  # a tenth of what a scan without certificates takes to start

    loaders: tuple[Any, ...] = (
        lambda: [certificate.public_key() for certificate in x509.load_pem_x509_certificates(blob)],
        lambda: [serialization.load_pem_public_key(blob)],
        lambda: [x509.load_der_x509_certificate(blob).public_key()],
        lambda: [serialization.load_der_public_key(blob)],
        lambda: [serialization.load_ssh_public_key(blob)],
    )
    for loader in loaders:
        try:
            return list(loader())
        except LOAD_ERRORS:
            continue
    return []
