"""What a refusal looks like on the wire: status and `WWW-Authenticate` (RFC 6750 §3, RFC 9110 §11.6.1).

May never put a private detail, or anything of a token, into an answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sealwright_validate.errors import Reason, Refused

# Nothing is wrong with the token as far as this side can tell: come again, no need to log in again.
_NOT_THE_TOKEN: Final = frozenset(
    (
        Reason.KEYS_UNAVAILABLE,
        Reason.LEDGER_UNAVAILABLE,
        Reason.MANIFEST_STALE,
        Reason.MANIFEST_ROLLED_BACK,
        Reason.MANIFEST_MALFORMED,
        Reason.MANIFEST_NOT_TRUSTED,
        Reason.MANIFEST_INCONSISTENT,
        Reason.ADMISSION_NOT_TRUSTED,
        Reason.ROOT_NOT_TRUSTED,
        Reason.ROOT_EXPIRED,
    )
)
_RETRY_AFTER: Final = "5"  # seconds


@dataclass(frozen=True, slots=True)
class Challenge:
    """An HTTP answer to a refused request: status, headers and a body that is safe to send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def challenge(refusal: Refused, *, scopes: Iterable[str] = ()) -> Challenge:
    """The answer to a request whose token was refused."""
    plain = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    body = f'{{"error":"{_error(refusal.reason)}","reason":"{refusal.reason}","message":"{refusal.public}"}}'
    if refusal.reason in _NOT_THE_TOKEN:
        return Challenge(503, (*plain, ("Retry-After", _RETRY_AFTER)), body.encode())
    said = ("WWW-Authenticate", _bearer(refusal, " ".join(sorted(scopes))))
    return Challenge(_status(refusal.reason), (*plain, said), body.encode())


def bearer_token(authorization: Iterable[bytes]) -> str:
    """The one bearer token in the `Authorization` headers of a request (RFC 6750 §2.1)."""
    values = list(authorization)
    if not values:
        raise Refused(Reason.TOKEN_MISSING, "no Authorization header")
    if len(values) > 1:
        raise Refused(Reason.TOKEN_AMBIGUOUS, "several Authorization headers")
    scheme, _, token = values[0].strip().partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Refused(Reason.TOKEN_MISSING, "no bearer token")
    return token.strip().decode("latin-1")


def _error(reason: Reason) -> str:
    if reason in _NOT_THE_TOKEN:
        return "temporarily_unavailable"
    if reason is Reason.TOKEN_AMBIGUOUS:
        return "invalid_request"
    if reason is Reason.SCOPE_INSUFFICIENT:
        return "insufficient_scope"
    return "invalid_token"


def _status(reason: Reason) -> int:
    return {Reason.TOKEN_AMBIGUOUS: 400, Reason.SCOPE_INSUFFICIENT: 403}.get(reason, 401)


def _bearer(refusal: Refused, scopes: str) -> str:
    if refusal.reason is Reason.TOKEN_MISSING:  # RFC 6750 §3.1: no error code where no token was sent
        return "Bearer"
    parts = [f'error="{_error(refusal.reason)}"', f'error_description="{refusal.public}"']
    if refusal.reason is Reason.SCOPE_INSUFFICIENT and scopes:
        parts.append(f'scope="{scopes}"')
    return "Bearer " + ", ".join(parts)
