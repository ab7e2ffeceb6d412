"""Reads a public key from a JWK (RFC 7517, RFC 7518 §6, RFC 8037, RFC 9964) and computes its thumbprint (RFC
7638).

May never accept a private or symmetric key, a key for encryption, a weak key, or a key whose algorithm is
left open where it must be named.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from sealwright_validate.algorithms import Algorithm, PublicKey
from sealwright_validate.encoding import Members, decode_base64url, encode_base64url
from sealwright_validate.errors import Reason, Refused

MIN_RSA_BITS: Final = 2048  # RFC 7518 §3.3
MAX_RSA_BITS: Final = 8192  # a larger one only makes verification slow
_RSA_EXPONENT: Final = 65537
_PRIVATE_MEMBERS: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "seed"))

_CURVES: Final[dict[str, tuple[ec.EllipticCurve, Algorithm]]] = {
    "P-256": (ec.SECP256R1(), Algorithm.ES256),
    "P-384": (ec.SECP384R1(), Algorithm.ES384),
    "P-521": (ec.SECP521R1(), Algorithm.ES512),
}
_RSA_ALGORITHMS: Final = frozenset(
    (Algorithm.RS256, Algorithm.RS384, Algorithm.RS512, Algorithm.PS256, Algorithm.PS384, Algorithm.PS512)
)
_OKP_ALGORITHMS: Final = frozenset((Algorithm.EDDSA, Algorithm.ED25519))
_ML_DSA: Final[dict[Algorithm, Callable[[bytes], PublicKey]]] = {
    Algorithm.ML_DSA_44: mldsa.MLDSA44PublicKey.from_public_bytes,
    Algorithm.ML_DSA_65: mldsa.MLDSA65PublicKey.from_public_bytes,
    Algorithm.ML_DSA_87: mldsa.MLDSA87PublicKey.from_public_bytes,
}
_THUMBPRINT_MEMBERS: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
    "AKP": ("alg", "kty", "pub"),
}


def thumbprint(jwk: Members) -> str:
    """RFC 7638 thumbprint (SHA-256, base64url) of a JWK whose public members have been checked."""
    names = _THUMBPRINT_MEMBERS[jwk["kty"]]
    # The checked members are ASCII without quotes or backslashes, so this is their canonical JSON.
    text = "{" + ",".join(f'"{name}":"{jwk[name]}"' for name in names) + "}"
    return encode_base64url(sha256(text.encode("ascii")).digest())


def public_key(unverified: Any) -> tuple[PublicKey, Algorithm]:
    """The public key in a JWK and the one algorithm it is for; refuses with `key_unusable`."""
    try:
        return _public_key(unverified)
    except Refused as refusal:
        raise Refused(Reason.KEY_UNUSABLE, refusal.detail) from None
    except (ValueError, TypeError) as error:
        raise Refused(Reason.KEY_UNUSABLE, f"the library refuses the key: {error}") from None


def _public_key(unverified: Any) -> tuple[PublicKey, Algorithm]:
    if not isinstance(unverified, dict):
        raise Refused(Reason.KEY_UNUSABLE, "a key is no object")
    if not _PRIVATE_MEMBERS.isdisjoint(unverified):
        raise Refused(Reason.KEY_UNUSABLE, "private or symmetric key material where a public key belongs")
    if unverified.get("use", "sig") != "sig":
        raise Refused(Reason.KEY_UNUSABLE, "not a key for signatures")
    operations = unverified.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Refused(Reason.KEY_UNUSABLE, "not a key that may verify")
    match unverified.get("kty"):
        case "EC":
            return _ec_key(unverified)
        case "RSA":
            return _rsa_key(unverified)
        case "OKP":
            return _okp_key(unverified)
        case "AKP":
            return _akp_key(unverified)
        case kind:
            raise Refused(Reason.KEY_UNUSABLE, f"key type {kind!r:.40}")


def _ec_key(jwk: Members) -> tuple[PublicKey, Algorithm]:
    curve, algorithm = _CURVES.get(_text(jwk, "crv"), (None, None))
    if curve is None or algorithm is None:
        raise Refused(Reason.KEY_UNUSABLE, "curve")
    _require_algorithm(jwk, frozenset((algorithm,)))
    size = (curve.key_size + 7) // 8
    x, y = (decode_base64url(_text(jwk, name)) for name in ("x", "y"))
    if len(x) != size or len(y) != size:  # RFC 7518 §6.2.1.2: full length, leading zeros kept
        raise Refused(Reason.KEY_UNUSABLE, "coordinates of another length than the curve's")
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y), algorithm


def _rsa_key(jwk: Members) -> tuple[PublicKey, Algorithm]:
    modulus, exponent = (decode_base64url(_text(jwk, name)) for name in ("n", "e"))
    if modulus[:1] == b"\0" or int.from_bytes(exponent, "big") != _RSA_EXPONENT or exponent[:1] == b"\0":
        raise Refused(Reason.KEY_UNUSABLE, "RSA modulus or exponent")
    if not MIN_RSA_BITS <= len(modulus) * 8 <= MAX_RSA_BITS:
        raise Refused(Reason.KEY_UNUSABLE, "RSA key size")
    key = rsa.RSAPublicNumbers(_RSA_EXPONENT, int.from_bytes(modulus, "big")).public_key()
    if key.key_size < MIN_RSA_BITS:
        raise Refused(Reason.KEY_UNUSABLE, "RSA key size")
    return key, _require_algorithm(jwk, _RSA_ALGORITHMS)


def _okp_key(jwk: Members) -> tuple[PublicKey, Algorithm]:
    if _text(jwk, "crv") != "Ed25519":
        raise Refused(Reason.KEY_UNUSABLE, "curve")
    algorithm = _require_algorithm(jwk, _OKP_ALGORITHMS, default=Algorithm.EDDSA)
    return ed25519.Ed25519PublicKey.from_public_bytes(decode_base64url(_text(jwk, "x"))), algorithm


def _akp_key(jwk: Members) -> tuple[PublicKey, Algorithm]:
    algorithm = _require_algorithm(jwk, frozenset(_ML_DSA))
    return _ML_DSA[algorithm](decode_base64url(_text(jwk, "pub"))), algorithm


def _require_algorithm(
    jwk: Members, allowed: frozenset[Algorithm], default: Algorithm | None = None
) -> Algorithm:
    """The algorithm that the JWK names, or the only one its type allows; RSA leaves it open to RS256 (RFC
    7518).
    """
    named = jwk.get("alg")
    if named is None:
        if len(allowed) == 1:
            return next(iter(allowed))
        if allowed is _RSA_ALGORITHMS:
            return Algorithm.RS256
        if default is not None:
            return default
    for algorithm in allowed:
        if algorithm.value == named:
            return algorithm
    raise Refused(Reason.KEY_UNUSABLE, f"algorithm {named!r:.40} does not belong to the key")


def _text(jwk: Members, name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise Refused(Reason.KEY_UNUSABLE, f"member {name} is missing or no text")
    return value
