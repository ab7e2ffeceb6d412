"""What a security event does here: it ends tokens, sessions or a key. Pure.

- `session-revoked`, `token-claims-change` on a `jwt_id`: that token is refused.
- The same on an `iss_sub` subject, or a complex one of user, application and tenant: tokens issued up to then
  are refused, where every member that is named matches.
- `credential-change` (revoke, delete) and `credential-compromise` on a signing key: its tokens are refused.

An event about something that tokens do not show (a device, an e-mail address) has no effect and is counted.
May never widen anything, and never act on an event of a kind or subject that it does not understand.
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Any, Final, NamedTuple

CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
SESSION_REVOKED: Final = CAEP + "session-revoked"
CLAIMS_CHANGE: Final = CAEP + "token-claims-change"
CREDENTIAL_CHANGE: Final = CAEP + "credential-change"
CREDENTIAL_COMPROMISE: Final = RISC + "credential-compromise"
SIGNING_KEY: Final = "urn:sealwright:signing-key"
_ENDS: Final = frozenset(("revoke", "delete"))


@unique
class Kind(StrEnum):
    """What is ended."""

    KEY = "key"
    TOKEN = "token"  # noqa: S105 - the name of a kind
    SESSION = "session"


class Effect(NamedTuple):
    """One thing that is ended. `at` is in seconds since 1970.

    Of a key: tokens issued from `at` on are refused (0: all). Of sessions: tokens issued up to `at` are. An
    empty text stands for "any".
    """

    kind: Kind
    at: float
    iss: str = ""
    sub: str = ""
    client: str = ""
    jti: str = ""
    kid: str = ""


def effect_of(event: str, content: Mapping[str, Any], subject: Mapping[str, Any], at: float) -> Effect | None:
    """What an event of this type does; None where it does nothing here.

    Args:
        event: the event type's URI.
        content: its members.
        subject: `sub_id` (RFC 9493).
        at: when it happened, seconds since 1970.
    """
    if event in (SESSION_REVOKED, CLAIMS_CHANGE):
        return _session(subject, at)
    if event == CREDENTIAL_COMPROMISE or (event == CREDENTIAL_CHANGE and content.get("change_type") in _ENDS):
        return _key(content, subject)
    return None


def _key(content: Mapping[str, Any], subject: Mapping[str, Any]) -> Effect | None:
    """A signing key, named by `issuer#kid`. Tokens from before `issued_before` stay valid."""
    if content.get("credential_type") != SIGNING_KEY or subject.get("format") != "opaque":
        return None
    issuer, mark, kid = _text(subject.get("id")).rpartition("#")
    spared = content.get("issued_before", 0)
    if not mark or not kid or not issuer or type(spared) not in (int, float):
        return None
    return Effect(Kind.KEY, float(spared), iss=issuer, kid=kid)


def _session(subject: Mapping[str, Any], at: float) -> Effect | None:
    match subject.get("format"):
        case "jwt_id":
            issuer, jti = _text(subject.get("iss")), _text(subject.get("jti"))
            return Effect(Kind.TOKEN, at, iss=issuer, jti=jti) if issuer and jti else None
        case "iss_sub":
            issuer, sub = _text(subject.get("iss")), _text(subject.get("sub"))
            return Effect(Kind.SESSION, at, iss=issuer, sub=sub) if issuer and sub else None
        case "complex":
            return _complex(subject, at)
        case _:
            return None


def _complex(subject: Mapping[str, Any], at: float) -> Effect | None:
    """SSF 1.0 section 3: every member that is named must match; one that tokens do not show matches none."""
    named = {name: value for name, value in subject.items() if name != "format"}
    if not named or not named.keys() <= {"user", "application", "tenant"}:
        return None
    found = {"iss": "", "sub": "", "client": ""}
    for name, place in (("user", "sub"), ("application", "client")):
        member = named.get(name)
        if member is None:
            continue
        if not isinstance(member, Mapping) or member.get("format") != "iss_sub":
            return None
        found[place], issuer = _text(member.get("sub")), _text(member.get("iss"))
        if not found[place] or not issuer or found["iss"] not in ("", issuer):
            return None
        found["iss"] = issuer
    tenant = named.get("tenant")
    if tenant is not None:
        issuer = _text(tenant.get("id")) if isinstance(tenant, Mapping) else ""
        if not issuer or tenant.get("format") != "opaque" or found["iss"] not in ("", issuer):
            return None
        found["iss"] = issuer
    return Effect(Kind.SESSION, at, **found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
