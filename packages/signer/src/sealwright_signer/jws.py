"""JSON Web Keys and Signatures (RFC 7515, 7517, 7518, 7638, 8037), as much of them as the signer needs.

Public halves only: may never see, serialise or return a private key.
"""

import binascii
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from sealwright_signer.protocol import Code, Refused, canonical, decode, require

ES256 = ec.ECDSA(SHA256())
RSA = {"RS256": padding.PKCS1v15(), "PS256": padding.PSS(padding.MGF1(SHA256()), 32)}
ALGORITHMS = ("ES256", "EdDSA", *RSA)
Verifier = Callable[[bytes, bytes], None]  # signature, message; raises InvalidSignature
_encode64 = binascii.b2a_base64
_URL_SAFE, _PLAIN = bytes.maketrans(b"+/", b"-_"), str.maketrans("-_", "+/")
_BASE64URL = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?")
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}


def b64(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2), as bytes."""
    return _encode64(data, newline=False).translate(_URL_SAFE, b"=")


def b64u(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return _encode64(data, newline=False).translate(_URL_SAFE, b"=").decode()


def unb64u(unverified: str) -> bytes:
    """The bytes of canonical base64url text without padding; Refused for any other text."""
    data = b""
    if _BASE64URL.fullmatch(unverified):
        data = binascii.a2b_base64(unverified.translate(_PLAIN) + "==")
    require(b64u(data) == unverified, Code.bad_request, "not canonical base64url")
    return data


def ecdsa_raw(der: bytes) -> bytes:
    """R || S, 32 bytes each (RFC 7518 section 3.4), of a P-256 signature in DER as OpenSSL writes it."""
    end = 4 + der[3]
    return der[4:end].lstrip(b"\0").rjust(32, b"\0") + der[end + 2 :].lstrip(b"\0").rjust(32, b"\0")


def public_jwk(public: object) -> dict[str, str]:
    """The required members of the JWK, nothing else: what RFC 7638 takes its thumbprint of."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        x, y = b64u(point.x.to_bytes(32, "big")), b64u(point.y.to_bytes(32, "big"))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        e, n = (b64u(i.to_bytes((i.bit_length() + 7) // 8, "big")) for i in (numbers.e, numbers.n))
        return {"e": e, "kty": "RSA", "n": n}
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": b64u(public.public_bytes_raw())}
    raise ValueError("a key of no kind that the signer knows")


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638 thumbprint, base64url: of the required members, further ones do not count."""
    names = _REQUIRED.get(str(jwk.get("kty")), ("kty",))
    return b64u(sha256(canonical({name: jwk.get(name) for name in names})).digest())


def verifier(jwk: Mapping[str, Any], alg: str) -> Verifier:
    """What checks raw JOSE signatures by a key in the form of `public_jwk`; ValueError when it is no key."""
    if alg == "EdDSA":
        return ed25519.Ed25519PublicKey.from_public_bytes(unb64u(jwk["x"])).verify
    if alg in RSA:
        e, n = (int.from_bytes(unb64u(jwk[name]), "big") for name in "en")
        modulus, scheme = rsa.RSAPublicNumbers(e, n).public_key(), RSA[alg]
        return lambda signature, message: modulus.verify(signature, message, scheme, SHA256())
    encoded = b"\4" + unb64u(jwk["x"]) + unb64u(jwk["y"])
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encoded)

    def verify(signature: bytes, message: bytes) -> None:
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        point.verify(encode_dss_signature(r, s), message, ES256)

    return verify


def identity_key(unverified_jwk: Any) -> tuple[str, Verifier]:
    """Key id and verifier of an Ed25519 public JWK; Refused for any other."""
    fits = type(unverified_jwk) is dict and type(unverified_jwk.get("x")) is str
    fits = fits and {**unverified_jwk, "kty": "OKP", "crv": "Ed25519"} == unverified_jwk
    fits = fits and unverified_jwk.get("kid", kid := thumbprint(unverified_jwk)) == kid
    require(fits, Code.bad_request, "an Ed25519 public JWK with the right kid or none is needed")
    try:
        return kid, verifier(unverified_jwk, "EdDSA")
    except ValueError:
        raise Refused(Code.bad_request, "x is no Ed25519 public key") from None


def require_document(unverified: str, typ: str, keys: Mapping[str, Verifier], code: Code) -> Any:
    """The payload of an EdDSA JWS of this type by one of `keys`; Refused with `code` for any other."""
    head, _, rest = unverified.partition(".")
    body, _, signature = rest.partition(".")
    header = decode(unb64u(head))
    kid: Any = header.get("kid") if type(header) is dict else None
    known = header == {"alg": "EdDSA", "kid": kid, "typ": typ} and type(kid) is str and kid in keys
    require(known, code, f"not a JWS of type {typ} by a known key")
    try:
        keys[kid](unb64u(signature), f"{head}.{body}".encode())
    except InvalidSignature:
        raise Refused(code, f"the signature of {typ} is wrong") from None
    return decode(unb64u(body))
