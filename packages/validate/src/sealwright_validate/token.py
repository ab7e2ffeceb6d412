"""Reads a compact JWS (RFC 7515 §3.1) without believing any of it, and what a token is once it is verified.

May never follow, fetch or use a key that the token brings along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sealwright_validate.algorithms import Algorithm
from sealwright_validate.encoding import (
    TO_BASE64,
    Members,
    decode_base64url,
    decode_json_object,
    decode_translated,
)
from sealwright_validate.errors import Reason, Refused
from sealwright_validate.expect import media_type
from sealwright_validate.keyset import Evidence, TrustedKey

MAX_TOKEN_BYTES: Final = 16 * 1024
MAX_HEADER_BYTES: Final = 4 * 1024
MAX_KID_LENGTH: Final = 256

# RFC 7515 §4.1.2 to §4.1.6: each would let the token say where its key is to be found.
FOREIGN_KEY_MEMBERS: Final = frozenset(("jku", "jwk", "x5u", "x5c"))
# RFC 7797 changes what is signed, RFC 7516 and RFC 7519 §5.2 wrap one token in another.
FORM_MEMBERS: Final = frozenset(("b64", "zip", "enc", "cty"))
_ALGORITHMS: Final = {algorithm.value: algorithm for algorithm in Algorithm}


@dataclass(frozen=True, slots=True)
class Header:
    """A header that passed the checks which need no key. Nothing has been verified yet."""

    algorithm: Algorithm
    kid: str
    typ: str
    only_known_members: bool


class UnverifiedToken(NamedTuple):
    """A token taken apart. `unverified_payload` is still base64url, in the standard alphabet."""

    header: Header
    signing_input: bytes
    signature: bytes
    unverified_payload: bytes


def take_apart(unverified: str) -> UnverifiedToken:
    """The three parts of a compact JWS, its header read and checked."""
    if type(unverified) is not str or not unverified:
        raise Refused(Reason.TOKEN_MISSING, "no token")
    if len(unverified) > MAX_TOKEN_BYTES:
        raise Refused(Reason.TOKEN_TOO_LARGE, f"{len(unverified)} characters")
    if not unverified.isascii():
        raise Refused(Reason.TOKEN_MALFORMED, "a character outside ASCII")
    raw = unverified.encode("ascii")
    parts = raw.translate(TO_BASE64).split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise Refused(Reason.TOKEN_MALFORMED, f"{len(parts)} parts instead of three")
    header, payload, signature = parts
    return UnverifiedToken(
        read_header(header), raw[: len(header) + 1 + len(payload)], decode_translated(signature), payload
    )


@lru_cache(maxsize=64)
def read_header(part: bytes) -> Header:
    """The header in a part that has been through `TO_BASE64`. Pure, so that equal headers are read once."""
    if len(part) > MAX_HEADER_BYTES:
        raise Refused(Reason.TOKEN_TOO_LARGE, f"a header of {len(part)} characters")
    members = decode_json_object(decode_translated(part))
    require_no_foreign_key(members)
    require_no_critical_extension(members)
    return Header(
        algorithm=require_asymmetric_algorithm(members),
        kid=require_key_id(members),
        typ=require_typ(members),
        only_known_members=members.keys() == {"alg", "kid", "typ"},
    )


def require_no_foreign_key(members: Members) -> None:
    """The header brings no key and no address of one (`jku`, `jwk`, `x5u`, `x5c`), and is no wrapping."""
    found = (FOREIGN_KEY_MEMBERS | FORM_MEMBERS).intersection(members)
    if found:
        raise Refused(Reason.HEADER_NOT_ALLOWED, ", ".join(sorted(found)))


def require_no_critical_extension(members: Members) -> None:
    """The header has no `crit`: no extension is understood here (RFC 7515 §4.1.11)."""
    if "crit" in members:
        raise Refused(Reason.CRITICAL_HEADER, "crit")


def require_asymmetric_algorithm(members: Members) -> Algorithm:
    """The algorithm is a known signature algorithm; `none` and HMAC are not (RFC 8725 §3.1)."""
    named = members.get("alg")
    algorithm = _ALGORITHMS.get(named) if isinstance(named, str) else None
    if algorithm is None:
        raise Refused(Reason.ALGORITHM_NOT_ALLOWED, f"alg {named!r:.60}")
    return algorithm


def require_key_id(members: Members) -> str:
    """The header names its key: `kid` is a short printable text, used for a look-up and nothing else."""
    kid = members.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH or not kid.isprintable():
        raise Refused(Reason.KID_MALFORMED, "kid is missing, empty, too long or unprintable")
    return kid


def require_typ(members: Members) -> str:
    """The type in its short, lower-case form; a token without one is a plain `jwt` (RFC 7519 §5.1)."""
    typ = members.get("typ", "jwt")
    if not isinstance(typ, str) or not typ.isascii() or not 0 < len(typ) <= MAX_KID_LENGTH:
        raise Refused(Reason.TYPE_NOT_ALLOWED, "typ is no text")
    return media_type(typ)


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedToken:
    """A token that passed every check. Nothing in it can be changed.

    `claims` is deeply read-only (arrays are tuples); `to_dict` makes a plain copy. `digest` is the SHA-256 of
    the signing input, in hex: the name of this token in the ledger and in logs.
    """

    claims: Mapping[str, Any]
    key: TrustedKey
    digest: str
    typ: str

    @property
    def realm(self) -> str:
        """The realm of the key that signed, which is the realm of the token."""
        return self.key.realm

    @property
    def kid(self) -> str:
        """The id of the key that signed."""
        return self.key.kid

    @property
    def evidence(self) -> Evidence:
        """How the place that holds the private key was appraised."""
        return self.key.evidence

    @property
    def evidence_link(self) -> str | None:
        """Where the evidence behind that can be had, to appraise it again (`sealwright-attest recheck`); None
        where the issuer says nothing of it. It is signed by the key's incarnation, and only a pinned root
        makes what is there worth anything.
        """
        return self.key.evidence_link

    @property
    def issuer(self) -> str:
        """`iss`, as verified."""
        return str(self.claims["iss"])

    @property
    def subject(self) -> str:
        """`sub`, or an empty text where an issuer that is not ours left it out."""
        return str(self.claims.get("sub", ""))

    @property
    def client_id(self) -> str:
        """`client_id` (RFC 8693 §4.3) or what other issuers call it; an empty text where it is left out."""
        for name in ("client_id", "azp", "appid", "cid"):
            if name in self.claims:
                return str(self.claims[name])
        return ""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that the token grants."""
        return granted_scopes(self.claims)

    @property
    def expires_at(self) -> float:
        """`exp`, in seconds since 1970."""
        return float(self.claims["exp"])

    def to_dict(self) -> dict[str, Any]:
        """A plain, independent copy of the claims."""
        return {name: _plain(value) for name, value in self.claims.items()}


def granted_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes in `scope` (RFC 8693 §4.2), or in what Entra (a text) and Okta (an array) call `scp`."""
    granted = claims.get("scope", claims.get("scp", ""))
    if isinstance(granted, list | tuple):
        return frozenset(scope for scope in granted if isinstance(scope, str))
    return frozenset(granted.split()) if isinstance(granted, str) else frozenset()


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    return value


def unverified_claims(token: UnverifiedToken) -> dict[str, Any]:
    """The payload as a JSON object; call it only after the signature was verified, or to explain a
    refusal.
    """
    return decode_json_object(decode_translated(token.unverified_payload))


def decode_part(part: str) -> bytes:
    """One part of a token on its own, for those who explain tokens."""
    return decode_base64url(part)
