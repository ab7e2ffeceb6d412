"""Throw-away signing keys, one per use, and JWS made with them - also wrong ones, on purpose.

May never write a private key anywhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from sealwright_validate.encoding import encode_base64url
from sealwright_validate.jwk import thumbprint

_CURVES: Final[Mapping[str, tuple[str, ec.EllipticCurve]]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
_HASHES: Final[Mapping[str, HashAlgorithm]] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}

MlDsaPrivate = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | MlDsaPrivate


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its public JWK. The JWK has `alg`, `kid` (its thumbprint) and `use`."""

    algorithm: str
    private: PrivateKey
    jwk: Mapping[str, str]

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint."""
        return self.jwk["kid"]

    def sign(self, message: bytes, algorithm: str | None = None) -> bytes:
        """The JWS signature over `message`, under another algorithm of the same key type if one is named."""
        return sign(self.private, algorithm or self.algorithm, message)


def make_key(algorithm: str) -> SigningKey:
    """A new key for one JWS algorithm."""
    private = _generate(algorithm)
    members = {**_public_members(private, algorithm), "alg": algorithm, "use": "sig"}
    return SigningKey(algorithm, private, {**members, "kid": thumbprint(members)})


def sign(private: PrivateKey, algorithm: str, message: bytes) -> bytes:
    """A JWS signature (RFC 7518 §3, RFC 8037, RFC 9964)."""
    match private:
        case ec.EllipticCurvePrivateKey():
            r, s = decode_dss_signature(private.sign(message, ec.ECDSA(_HASHES[algorithm[-3:]])))
            size = (private.key_size + 7) // 8
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        case rsa.RSAPrivateKey():
            digest = _HASHES[algorithm[-3:]]
            if algorithm.startswith("PS"):
                return private.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
            return private.sign(message, padding.PKCS1v15(), digest)
        case (
            ed25519.Ed25519PrivateKey()
            | mldsa.MLDSA44PrivateKey()
            | mldsa.MLDSA65PrivateKey()
            | mldsa.MLDSA87PrivateKey()
        ):
            return private.sign(message)
        case _:
            assert_never(private)


def compact_json(value: Any) -> bytes:
    """JSON without white space, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def jws(key: SigningKey, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
    """A compact JWS; header and payload may be raw bytes, so that malformed ones can be signed too."""
    parts = [part if isinstance(part, bytes) else compact_json(dict(part)) for part in (header, payload)]
    signing_input = ".".join(encode_base64url(part) for part in parts)
    return f"{signing_input}.{encode_base64url(key.sign(signing_input.encode()))}"


def _generate(algorithm: str) -> PrivateKey:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm][1])
    if algorithm[:2] in ("RS", "PS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    match algorithm:
        case "ML-DSA-44":
            return mldsa.MLDSA44PrivateKey.generate()
        case "ML-DSA-65":
            return mldsa.MLDSA65PrivateKey.generate()
        case "ML-DSA-87":
            return mldsa.MLDSA87PrivateKey.generate()
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def _public_members(private: PrivateKey, algorithm: str) -> dict[str, str]:
    public = private.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers, size = public.public_numbers(), (public.key_size + 7) // 8
        x, y = (encode_base64url(n.to_bytes(size, "big")) for n in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": _CURVES[algorithm][0], "x": x, "y": y}
    if isinstance(public, rsa.RSAPublicKey):
        modulus = public.public_numbers().n
        n = encode_base64url(modulus.to_bytes((modulus.bit_length() + 7) // 8, "big"))
        return {"kty": "RSA", "n": n, "e": "AQAB"}
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(public.public_bytes_raw())}
    return {"kty": "AKP", "alg": algorithm, "pub": encode_base64url(public.public_bytes_raw())}
