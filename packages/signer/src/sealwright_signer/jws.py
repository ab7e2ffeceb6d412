"""JSON Web Keys and Signatures (RFC 7515, 7517, 7518, 7638, 8037), as much of them as the signer needs.

Public halves only: may never see, serialise or return a private key.
"""

import binascii
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from sealwright_signer.protocol import Code, Refused, canonical, decode, encode, require

ALGORITHMS = ("ES256", "EdDSA", "RS256", "PS256")
ECDSA_BYTES = 64
ES256 = ec.ECDSA(SHA256())
RSA_PADDING = {"RS256": padding.PKCS1v15(), "PS256": padding.PSS(padding.MGF1(SHA256()), 32)}
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
Verifier = Callable[[bytes, bytes], None]  # signature, message; raises InvalidSignature
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def b64u(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=\n").decode()


def unb64u(unverified: str) -> bytes:
    """The bytes of canonical base64url text without padding; Refused for any other text."""
    text = unverified.translate({45: 43, 95: 47}) + "=" * (-len(unverified) % 4)
    if _BASE64URL.fullmatch(unverified) and len(unverified) % 4 != 1:
        data = binascii.a2b_base64(text)
        if b64u(data) == unverified:
            return data
    raise Refused(Code.bad_request, "not canonical base64url")


def ecdsa_raw(der: bytes) -> bytes:
    """R || S, 32 bytes each (RFC 7518 section 3.4), of a P-256 signature in DER as OpenSSL writes it."""
    end = 4 + der[3]
    return der[4:end].lstrip(b"\0").rjust(32, b"\0") + der[end + 2 :].lstrip(b"\0").rjust(32, b"\0")


def public_jwk(public: PublicKey) -> dict[str, str]:
    """The required members of the JWK, nothing else: what RFC 7638 takes its thumbprint of."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers = public.public_numbers()
        x, y = (b64u(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": b64u(public.public_bytes_raw())}
    rsa_numbers = public.public_numbers()
    e, n = (b64u(i.to_bytes((i.bit_length() + 7) // 8, "big")) for i in (rsa_numbers.e, rsa_numbers.n))
    return {"e": e, "kty": "RSA", "n": n}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638 thumbprint, base64url: of the required members, further ones do not count."""
    names = _REQUIRED.get(jwk.get("kty", ""), ("kty",))
    return b64u(sha256(canonical({name: jwk.get(name) for name in names})).digest())


def verifier(public: PublicKey, algorithm: str) -> Verifier:
    """What checks a raw JOSE signature under this key."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        elliptic = public

        def verify(signature: bytes, message: bytes) -> None:
            if len(signature) != ECDSA_BYTES:
                raise InvalidSignature
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            elliptic.verify(encode_dss_signature(r, s), message, ES256)

        return verify
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public.verify
    scheme, modulus = RSA_PADDING[algorithm], public
    return lambda signature, message: modulus.verify(signature, message, scheme, SHA256())


def load_public(jwk: Mapping[str, Any]) -> PublicKey:
    """The key of a JWK in the form of `public_jwk`; ValueError, KeyError or Refused when it is none."""
    if jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(unb64u(jwk["x"]))
    if jwk["kty"] == "EC" and jwk["crv"] == "P-256":
        point = b"\4" + unb64u(jwk["x"]) + unb64u(jwk["y"])
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    if jwk["kty"] == "RSA":
        e, n = (int.from_bytes(unb64u(jwk[name]), "big") for name in "en")
        return rsa.RSAPublicNumbers(e, n).public_key()
    raise ValueError("a key of no kind that the signer knows")


def identity_key(unverified_jwk: object) -> tuple[str, Verifier]:
    """Key id and verifier of an Ed25519 public JWK; Refused for any other."""
    kid, public = "", None
    if type(unverified_jwk) is dict and all(type(value) is str for value in unverified_jwk.values()):
        with suppress(KeyError, ValueError):
            public, kid = load_public(unverified_jwk), thumbprint(unverified_jwk)
    if not isinstance(public, ed25519.Ed25519PublicKey) or unverified_jwk.get("kid", kid) != kid:  # type: ignore[attr-defined]
        raise Refused(Code.bad_request, "an Ed25519 public JWK is needed")
    return kid, public.verify


def document_input(kid: str, typ: str, payload: object) -> str:
    """The signing input of a document signed by an Ed25519 key."""
    header = canonical({"alg": "EdDSA", "kid": kid, "typ": typ})
    return f"{b64u(header)}.{b64u(encode(payload).encode())}"


def require_document(unverified: str, typ: str, keys: Mapping[str, Verifier], code: Code) -> Any:
    """The payload of an EdDSA JWS of this type by one of `keys`; Refused with `code` for any other."""
    head, _, rest = unverified.partition(".")
    body, _, signature = rest.partition(".")
    header = decode(unb64u(head))
    exact = type(header) is dict and header.keys() == {"alg", "kid", "typ"} and header["alg"] == "EdDSA"
    known = exact and header["typ"] == typ and type(header["kid"]) is str and header["kid"] in keys
    require(known, code, f"not a JWS of type {typ} by a known key")
    try:
        keys[header["kid"]](unb64u(signature), f"{head}.{body}".encode())
    except InvalidSignature:
        raise Refused(code, f"the signature of {typ} is wrong") from None
    return decode(unb64u(body))
