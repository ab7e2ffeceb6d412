"""The keys of a plain OpenID issuer: what its discovery document and JWKS say, held to what can be enforced.

Bytes in, trusted object out; the time is an argument.

- The discovery document names exactly the issuer that was asked (OpenID Connect Discovery §4.3).
- Every key belongs to one issuer; a key that says it is another issuer's is left out.
- A key without an id, or one that cannot be used here, is left out; an id that means two keys is refused for
  ever.
- The first key seen under an id stays the only one: another under the same id is refused (`key_changed`).
- A key with a certificate is the certificate's key, and is used within the certificate's validity only.
- A key that has been seen, or certified, for longer than the age limit is out of its window.

May never take a key for an issuer from an address that the issuer did not name.
"""

from base64 import b64decode
from collections.abc import Mapping
from hashlib import sha256
from math import inf
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright_validate.algorithms import PublicKey, verifier_for
from sealwright_validate.documents import objects
from sealwright_validate.encoding import Members, decode_json_object
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.issuers import IssuerRule
from sealwright_validate.jwk import public_key, thumbprint
from sealwright_validate.keyset import KeySnapshot, Profile, Seen, TrustedKey
from sealwright_validate.limits import MAX_KEY_AGE
from sealwright_validate.token import MAX_KID_LENGTH

MAX_KEYS: Final = 256
MAX_TOKEN_LIFETIME: Final = 86_400  # seconds: the longest access token of a plain issuer that is accepted
_MAX_SEEN: Final = 1024
_MAX_CHAIN: Final = 16 * 1024


def jwks_address(unverified: bytes, issuer: str) -> str:
    """The address of the JWKS in a discovery document of exactly this issuer."""
    document = _object(unverified)
    address = document.get("jwks_uri")
    if document.get("issuer") != issuer:
        raise Refused(Reason.ISSUER_NOT_ALLOWED, "the discovery document is of another issuer")
    if not isinstance(address, str) or urlsplit(address).scheme not in ("https", "http"):
        raise Refused(Reason.MANIFEST_MALFORMED, "the discovery document names no JWKS")
    return address


def open_jwks(
    unverified: bytes,
    rule: IssuerRule,
    previous: KeySnapshot | None,
    *,
    now: float,
    lifetime: float,
    max_age: float = MAX_KEY_AGE,
) -> KeySnapshot:
    """The snapshot in a JWKS (RFC 7517 §5) that was fetched from where the issuer said, over TLS."""
    entries = objects(_object(unverified), "keys")
    if len(entries) > MAX_KEYS:
        raise Refused(Reason.MANIFEST_MALFORMED, f"{len(entries)} keys")
    keys: dict[str, TrustedKey] = {}
    refused: dict[str, Reason] = dict(previous.tombstones) if previous else {}
    seen: dict[str, Seen] = dict(previous.seen) if previous else {}
    for entry in entries:
        kid = entry.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH or kid in refused:
            continue
        try:
            key = _key(entry, kid, rule, seen.get(kid), now, max_age)
        except Refused:
            continue  # encryption keys and algorithms of others are usual in a JWKS; their ids stay unknown
        if kid in keys and (keys[kid].thumbprint, keys[kid].issuer) != (key.thumbprint, key.issuer):
            refused[kid] = Reason.KEY_UNUSABLE
        elif seen.setdefault(kid, Seen(key.thumbprint, now)).thumbprint != key.thumbprint:
            refused[kid] = Reason.KEY_CHANGED
        keys[kid] = key
    alive = {kid: key for kid, key in keys.items() if kid not in refused}
    return KeySnapshot(
        profile=Profile.PLAIN,
        version=(previous.version if previous else 0) + 1,
        issued_at=now,
        expires_at=now + lifetime,
        keys=MappingProxyType(alive),
        issuers=MappingProxyType({key.issuer: key.realm for key in alive.values()}),
        tombstones=MappingProxyType(refused),
        fingerprint=sha256(unverified).hexdigest(),
        seen=MappingProxyType(_bounded(seen, alive)),
        thumbprints=frozenset(key.thumbprint for key in alive.values()),
    )


def _bounded(seen: dict[str, Seen], alive: Mapping[str, TrustedKey]) -> dict[str, Seen]:
    """The latest ids first seen, and all that are in use."""
    latest = list(seen)[-_MAX_SEEN:]
    return {kid: entry for kid, entry in seen.items() if kid in alive or kid in latest}


def _key(
    entry: Members, kid: str, rule: IssuerRule, seen: Seen | None, now: float, max_age: float
) -> TrustedKey:
    public, algorithm = public_key(entry)
    issuer = rule.key_issuer(entry)
    certified_from, certified_until = _certificate_validity(entry, public)
    known_since = min(now, seen.since if seen else now, certified_from if certified_from > 0 else now)
    until = min(certified_until, known_since + max_age)
    return TrustedKey(
        kid=kid,
        thumbprint=thumbprint(entry),
        algorithm=algorithm,
        verify=verifier_for(public, algorithm),
        realm=rule.discovered,
        issuer=issuer,
        audiences=None,
        token_types=None,
        max_lifetime=MAX_TOKEN_LIFETIME,
        use_from=certified_from,
        use_until=until,
        verify_until=until,
        tenants=rule.tenants,
    )


def _certificate_validity(entry: Members, public: PublicKey) -> tuple[float, float]:
    chain: Any = entry.get("x5c")
    if chain is None:
        return -inf, inf
    from cryptography.x509 import load_der_x509_certificate

    try:
        if len(chain[0]) > _MAX_CHAIN:
            raise Refused(Reason.KEY_UNUSABLE, "x5c is too long")
        certificate = load_der_x509_certificate(b64decode(chain[0], validate=True))
        same = _spki(certificate.public_key()) == _spki(public)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise Refused(Reason.KEY_UNUSABLE, f"x5c: {type(error).__name__}") from None
    if not same:
        raise Refused(Reason.KEY_UNUSABLE, "the certificate is of another key")
    return certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()


def _spki(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def cache_lifetime(headers: Mapping[str, str], *, least: float, most: float) -> float:
    """For how long an answer asks to be kept (`max-age`, RFC 9111 §5.2.2.1), within bounds; seconds."""
    for directive in headers.get("cache-control", "").split(","):
        name, _, value = directive.strip().partition("=")
        if name.lower() == "max-age" and value.isdecimal() and len(value) < 10:  # noqa: PLR2004 - digits
            return min(max(float(value), least), most)
    return least


def _object(unverified: bytes) -> dict[str, Any]:
    try:
        return decode_json_object(unverified)
    except Refused as refusal:
        raise Refused(Reason.MANIFEST_MALFORMED, refusal.detail) from None
