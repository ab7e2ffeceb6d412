"""Opens signed trust documents: JWS with Ed25519 whose header holds exactly `alg`, `kid` and `typ`.

Bytes in, trusted object out; no I/O. May never return a payload before its signature was verified, and may
never take a verification key from the document itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from sealwright_validate.algorithms import Algorithm, Verifier, verifier_for
from sealwright_validate.encoding import MAX_TIME, Members, decode_base64url, decode_json_object
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.jwk import public_key, thumbprint

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """A key that signs documents; `kid` is its RFC 7638 thumbprint."""

    kid: str
    verify: Verifier


def document_key(unverified_jwk: Any) -> DocumentKey:
    """The Ed25519 key in a JWK that a trusted document names."""
    key, algorithm = public_key(unverified_jwk)
    if algorithm is not Algorithm.EDDSA:
        raise Refused(Reason.KEY_UNUSABLE, "documents are signed with Ed25519 only")
    kid = thumbprint(unverified_jwk)
    if unverified_jwk.get("kid", kid) != kid:
        raise Refused(Reason.KEY_UNUSABLE, "the kid of a document key is not its thumbprint")
    return DocumentKey(kid, verifier_for(key, algorithm))


def open_compact(unverified: Any, typ: str, keys: Mapping[str, DocumentKey]) -> dict[str, Any]:
    """The payload of a compact JWS that one of `keys` signed; refuses with `signature_invalid` or a form
    reason.
    """
    if not isinstance(unverified, str) or len(unverified) > MAX_DOCUMENT_BYTES:
        raise Refused(Reason.TOKEN_MALFORMED, "no compact JWS")
    parts = unverified.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise Refused(Reason.TOKEN_MALFORMED, "not three parts")
    require_signature(parts[0], parts[1], parts[2], typ, keys)
    return decode_json_object(decode_base64url(parts[1]))


def require_signature(
    unverified_header: str,
    unverified_payload: str,
    unverified_signature: str,
    typ: str,
    keys: Mapping[str, DocumentKey],
) -> str:
    """The id of the key of `keys` that signed header and payload (RFC 7515 §5.2)."""
    header = decode_json_object(decode_base64url(unverified_header))
    if header.keys() != {"alg", "kid", "typ"} or header["alg"] != "EdDSA" or header["typ"] != typ:
        raise Refused(Reason.HEADER_NOT_ALLOWED, f"the header is not that of {typ}")
    kid = header["kid"]
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise Refused(Reason.UNKNOWN_KEY, f"{typ} is signed by a key that nothing trusted names")
    signing_input = f"{unverified_header}.{unverified_payload}"
    signature = decode_base64url(unverified_signature)
    if not signing_input.isascii():
        raise Refused(Reason.TOKEN_MALFORMED, "not ASCII")
    try:
        key.verify(signature, signing_input.encode("ascii"))
    except InvalidSignature:
        raise Refused(Reason.SIGNATURE_INVALID, f"the signature of {typ} is invalid") from None
    return key.kid


def text(members: Members, name: str) -> str:
    """A member that must be a non-empty text."""
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(Reason.MANIFEST_MALFORMED, f"{name} is missing or no text")
    return value


def integer(members: Members, name: str) -> int:
    """A member that must be an integer from 0 up to a bound that no honest document reaches."""
    value = members.get(name)
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise Refused(Reason.MANIFEST_MALFORMED, f"{name} is missing or out of range")
    return value


def objects(members: Members, name: str) -> list[dict[str, Any]]:
    """A member that must be an array of objects."""
    value = members.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(Reason.MANIFEST_MALFORMED, f"{name} is missing or no array of objects")
    return value


def texts(members: Members, name: str) -> frozenset[str]:
    """A member that must be a non-empty array of different texts."""
    value = members.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise Refused(Reason.MANIFEST_MALFORMED, f"{name} is missing or no array of texts")
    if len(set(value)) != len(value):
        raise Refused(Reason.MANIFEST_MALFORMED, f"{name} names something twice")
    return frozenset(value)
