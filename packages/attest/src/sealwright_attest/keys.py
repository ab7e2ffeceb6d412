"""Public keys and signatures: the only module that calls the cryptography library to verify something.

It may never fall back from one algorithm to another: the caller names the algorithm, and that one alone is
tried.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .errors import Code, Refused
from .octets import malformed

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MAX_RSA_EXPONENT: Final = 0xFFFFFFFF


class Algorithm(StrEnum):
    """Signature algorithms that a chain or a quote may use. SHA-1 is not among them."""

    PSS_SHA384_SALT48 = "rsassa-pss-sha384-salt48"
    RSA_SHA256 = "rsassa-pkcs1-sha256"
    RSA_SHA384 = "rsassa-pkcs1-sha384"
    RSA_SHA512 = "rsassa-pkcs1-sha512"
    PSS_SHA256 = "rsassa-pss-sha256"
    PSS_SHA384 = "rsassa-pss-sha384"
    PSS_SHA512 = "rsassa-pss-sha512"
    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    ECDSA_SHA512 = "ecdsa-sha512"


_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def _require_strength(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS or exponent > MAX_RSA_EXPONENT or exponent < 3:  # noqa: PLR2004
            raise malformed("an RSA key is outside the accepted sizes", f"{key.key_size} bits")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in {
        "secp256r1",
        "secp384r1",
        "secp521r1",
    }:
        return key
    raise malformed("a public key of an unknown kind", type(key).__name__)


@lru_cache(maxsize=128)
def load_spki(spki: bytes) -> PublicKey:
    """Return the RSA (2048 to 4096 bits) or NIST-curve key of a SubjectPublicKeyInfo.

    Raises:
        Refused: `malformed` for any other key.
    """
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as err:
        raise malformed("an unreadable public key", str(err)) from err
    return _require_strength(key)


def rsa_key(modulus: bytes, exponent: int) -> rsa.RSAPublicKey:
    """Return an RSA key from its numbers, under the same bounds as `load_spki`."""
    try:
        key = rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "big")).public_key()
    except ValueError as err:
        raise malformed("an unreadable RSA key", str(err)) from err
    _require_strength(key)
    return key


_CURVES: Final[dict[str, ec.EllipticCurve]] = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}


def ec_key(curve: str, x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a point; a point off the curve is refused."""
    try:
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), _CURVES[curve]
        )
        return numbers.public_key()
    except ValueError as err:
        raise malformed("a point off its curve", str(err)) from err


def spki(key: PublicKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo of a key."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def ecdsa_raw(r: bytes, s: bytes) -> bytes:
    """Return the DER form of an ECDSA signature given as two big-endian numbers."""
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def require_signature(key: PublicKey, algorithm: Algorithm, unverified_signature: bytes, data: bytes) -> None:
    """Refuse data that this key did not sign with this algorithm.

    Args:
        key: the signer's public key.
        algorithm: the one algorithm that is tried.
        unverified_signature: PKCS#1 bytes, or DER for ECDSA.
        data: what was signed.

    Raises:
        Refused: `signature-invalid`.
    """
    family, hash_name = algorithm.value.replace("-salt48", "").rsplit("-", 1)
    digest = _HASHES[hash_name]
    try:
        if family == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(unverified_signature, data, ec.ECDSA(digest))
        elif family == "rsassa-pkcs1" and isinstance(key, rsa.RSAPublicKey):
            key.verify(unverified_signature, data, padding.PKCS1v15(), digest)
        elif family == "rsassa-pss" and isinstance(key, rsa.RSAPublicKey):
            salt = 48 if algorithm is Algorithm.PSS_SHA384_SALT48 else padding.PSS.AUTO
            key.verify(unverified_signature, data, padding.PSS(padding.MGF1(digest), salt), digest)
        else:
            raise Refused(Code.SIGNATURE_INVALID, "the key is of another kind than its signature", algorithm)
    except InvalidSignature as err:
        raise Refused(Code.SIGNATURE_INVALID, "a signature does not verify", algorithm) from err
