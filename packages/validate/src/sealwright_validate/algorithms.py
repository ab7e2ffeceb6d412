"""Signature algorithms: which there are, and a verifier for one public key.

May never offer a symmetric algorithm, "none", or a key that decides its algorithm at the token's word.
"""

from collections.abc import Callable
from enum import StrEnum, unique
from hashlib import sha256
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

# Takes (signature, message); raises cryptography's InvalidSignature.
Verifier = Callable[[bytes, bytes], None]


@unique
class Algorithm(StrEnum):
    """JWS algorithms (RFC 7518 §3.1, RFC 8037, RFC 9864, RFC 9964) that a token or document may use."""

    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"
    ED25519 = "Ed25519"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ML_DSA_44 = "ML-DSA-44"
    ML_DSA_65 = "ML-DSA-65"
    ML_DSA_87 = "ML-DSA-87"


MlDsaKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | MlDsaKey

_PREHASHED_256: Final = Prehashed(SHA256())
_ECDSA_256: Final = ec.ECDSA(_PREHASHED_256)
_PKCS1: Final = padding.PKCS1v15()
_PSS_256: Final = padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size)


def ecdsa_verifier(key: ec.EllipticCurvePublicKey, digest: HashAlgorithm) -> Verifier:
    """ECDSA with the fixed-length signature of RFC 7518 §3.4 (R and S, big-endian, nothing else)."""
    half = (key.key_size + 7) // 8
    if digest.name == "sha256":
        return _es256_verifier(key)
    scheme = ec.ECDSA(digest)

    def verify(signature: bytes, message: bytes) -> None:
        key.verify(_der(signature, half), message, scheme)

    return verify


def _es256_verifier(key: ec.EllipticCurvePublicKey) -> Verifier:
    check = key.verify

    def verify(signature: bytes, message: bytes) -> None:
        check(_der(signature, 32), sha256(message).digest(), _ECDSA_256)

    return verify


def _der(signature: bytes, half: int) -> bytes:
    if len(signature) != 2 * half:
        return b""  # no DER at all: the library answers InvalidSignature
    return encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )


def rsa_verifier(key: rsa.RSAPublicKey, digest: HashAlgorithm, *, pss: bool) -> Verifier:
    """RSASSA-PKCS1-v1_5 (RFC 7518 §3.3) or RSASSA-PSS with a salt as long as the digest (§3.5)."""
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size) if pss else _PKCS1
    length = (key.key_size + 7) // 8
    check = key.verify

    def verify(signature: bytes, message: bytes) -> None:
        # A shorter or longer integer of equal value would be a second spelling of one signature.
        check(signature if len(signature) == length else b"", message, scheme, digest)

    return verify


def plain_verifier(key: ed25519.Ed25519PublicKey | MlDsaKey) -> Verifier:
    """Ed25519 (RFC 8037) and ML-DSA with an empty context (RFC 9964)."""
    check = key.verify

    def verify(signature: bytes, message: bytes) -> None:
        check(signature, message)

    return verify


def verifier_for(key: PublicKey, algorithm: Algorithm) -> Verifier:
    """A verifier that is bound to one key and one algorithm. The key's type has been checked against it."""
    name = algorithm.value
    match key:
        case ec.EllipticCurvePublicKey():
            return ecdsa_verifier(key, _digest(name))
        case rsa.RSAPublicKey():
            return rsa_verifier(key, _digest(name), pss=name.startswith("PS"))
        case (
            ed25519.Ed25519PublicKey()
            | mldsa.MLDSA44PublicKey()
            | mldsa.MLDSA65PublicKey()
            | mldsa.MLDSA87PublicKey()
        ):
            return plain_verifier(key)
        case _:
            assert_never(key)


def _digest(name: str) -> HashAlgorithm:
    if name.endswith("256"):
        return SHA256()
    return SHA384() if name.endswith("384") else SHA512()
