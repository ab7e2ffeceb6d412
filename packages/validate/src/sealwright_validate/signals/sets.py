"""Opens security event tokens (RFC 8417, SSF 1.0): bytes in, events out. Pure.

- RS256 by a key of the transmitter's JWKS, `typ` `secevent+jwt`, nothing else.
- From the transmitter, for this receiver; with `jti`, `iat`, `sub_id` and `events`; without `sub` and `exp`.

May never take an access token for a SET, nor a SET for an access token (RFC 8725 section 3.12).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from sealwright_validate.algorithms import Algorithm, Verifier, verifier_for
from sealwright_validate.encoding import decode_base64url, decode_json_object
from sealwright_validate.errors import Refused
from sealwright_validate.jwk import public_key

TYPE: Final = "secevent+jwt"
MAX_SET_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 64
_PARTS: Final = 3


class SetRefusedError(Exception):
    """A SET will never be taken. `err` is the code of RFC 8935 section 2.4."""

    def __init__(self, err: str, description: str) -> None:
        super().__init__(f"{err}: {description}")
        self.err: Final = err
        self.description: Final = description


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One SET. `at` is when its event happened, where that is said; seconds since 1970."""

    jti: str
    at: float
    subject: Mapping[str, Any]
    events: Mapping[str, Mapping[str, Any]]


def open_set_keys(unverified: bytes) -> dict[str, Verifier]:
    """Verifiers by key id from a JWKS that was fetched from the transmitter. Raises Refused."""
    keys = decode_json_object(unverified).get("keys")
    found: dict[str, Verifier] = {}
    for entry in keys[:MAX_KEYS] if isinstance(keys, list) else ():
        try:
            key, algorithm = public_key(entry)
        except Refused:
            continue  # a key for something else
        kid = entry.get("kid")
        if algorithm is Algorithm.RS256 and isinstance(kid, str) and kid:
            found[kid] = verifier_for(key, algorithm)
    return found


def key_id_of(unverified: bytes) -> str:
    """The key that a SET says it is signed with. Raises SetRefusedError."""
    header, _, _ = _taken_apart(unverified)
    kid = header.get("kid")
    if header.get("alg") != "RS256" or header.get("typ") != TYPE or not isinstance(kid, str):
        raise SetRefusedError(
            "invalid_request", "a SET is signed with RS256, typ secevent+jwt, by a named key"
        )
    if not header.keys() <= {"alg", "typ", "kid"}:
        raise SetRefusedError("invalid_request", "the header has members that are not understood")
    return kid


def open_set(unverified: bytes, verifier: Verifier, issuer: str, audience: str) -> SecurityEvent:
    """The event in a SET. Raises SetRefusedError.

    Args:
        unverified: the compact JWS.
        verifier: of the key that `key_id_of` named.
        issuer: the transmitter's.
        audience: what this receiver is called.
    """
    _, payload, signature = _taken_apart(unverified)
    try:
        verifier(signature, unverified.rpartition(b".")[0])
    except InvalidSignature:
        raise SetRefusedError("invalid_key", "the signature is not the key's") from None
    claims = _object(payload)
    if claims.get("iss") != issuer:
        raise SetRefusedError("invalid_issuer", "not from this transmitter")
    named = claims.get("aud")
    if audience not in ([named] if isinstance(named, str) else named if isinstance(named, list) else []):
        raise SetRefusedError("invalid_audience", "not for this receiver")
    if "sub" in claims or "exp" in claims:
        raise SetRefusedError("invalid_request", "a SET of SSF has neither sub nor exp")
    return _event(claims)


def _event(claims: Mapping[str, Any]) -> SecurityEvent:
    jti, issued, subject, events = (claims.get(name) for name in ("jti", "iat", "sub_id", "events"))
    if not isinstance(jti, str) or not jti or type(issued) not in (int, float):
        raise SetRefusedError("invalid_request", "jti or iat is missing")
    if not isinstance(subject, dict) or not isinstance(events, dict) or not events:
        raise SetRefusedError("invalid_request", "sub_id or events is missing")
    if not all(isinstance(content, dict) for content in events.values()):
        raise SetRefusedError("invalid_request", "an event is no object")
    stamps = [content["event_timestamp"] for content in events.values() if "event_timestamp" in content]
    at = stamps[0] if stamps and type(stamps[0]) in (int, float) else issued
    return SecurityEvent(jti, float(at if at is not None else 0), subject, events)


def _taken_apart(unverified: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    parts = unverified.split(b".") if len(unverified) <= MAX_SET_BYTES else []
    if len(parts) != _PARTS:
        raise SetRefusedError("invalid_request", "no compact JWS of a bearable length")
    try:
        header, payload, signature = (decode_base64url(part) for part in parts)
        return decode_json_object(header), payload, signature
    except Refused as refusal:
        raise SetRefusedError("invalid_request", refusal.detail) from None


def _object(payload: bytes) -> dict[str, Any]:
    try:
        return decode_json_object(payload)
    except Refused as refusal:
        raise SetRefusedError("invalid_request", refusal.detail) from None
