"""What a refusal looks like on the wire: status and `WWW-Authenticate` (RFC 6750 §3, RFC 9449 §7.1, RFC 9110
§11.6.1).

May never put a private detail, or anything of a token, into an answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sealwright_validate.dpop import ALGORITHMS
from sealwright_validate.errors import Reason, Refused

# Nothing is wrong with the token as far as this side can tell: come again, no need to log in again.
NOT_THE_TOKEN: Final = frozenset(
    (
        Reason.KEYS_UNAVAILABLE,
        Reason.LEDGER_UNAVAILABLE,
        Reason.PROOF_UNCERTAIN,
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
_ABOUT_PROOFS: Final = frozenset(
    (Reason.PROOF_MISSING, Reason.PROOF_INVALID, Reason.PROOF_REPLAYED, Reason.PROOF_NONCE_REQUIRED)
)
_ERRORS: Final = {
    Reason.TOKEN_AMBIGUOUS: "invalid_request",
    Reason.SCOPE_INSUFFICIENT: "insufficient_scope",
    Reason.PROOF_INVALID: "invalid_dpop_proof",
    Reason.PROOF_REPLAYED: "invalid_dpop_proof",
    Reason.PROOF_NONCE_REQUIRED: "use_dpop_nonce",
}
_STATUSES: Final = {Reason.TOKEN_AMBIGUOUS: 400, Reason.SCOPE_INSUFFICIENT: 403}
_RETRY_AFTER: Final = "5"  # seconds


@dataclass(frozen=True, slots=True)
class Challenge:
    """An HTTP answer to a refused request: status, headers and a body that is safe to send."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def challenge(
    refusal: Refused, *, scopes: Iterable[str] = (), dpop: bool = False, nonce: str | None = None
) -> Challenge:
    """The answer to a refused request. `dpop` says that proofs are demanded here, `nonce` which one to
    use.
    """
    reason = refusal.reason
    error = "temporarily_unavailable" if reason in NOT_THE_TOKEN else _ERRORS.get(reason, "invalid_token")
    body = f'{{"error":"{error}","reason":"{reason}","message":"{refusal.public}"}}'.encode()
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if reason in NOT_THE_TOKEN:
        return Challenge(503, (*headers, ("Retry-After", _RETRY_AFTER)), body)
    dpop = dpop or reason in _ABOUT_PROOFS
    if dpop and nonce is not None:
        headers.append(("DPoP-Nonce", nonce))
    said = _parameters(refusal, error, " ".join(sorted(scopes)))
    if dpop:
        said.append(f'algs="{" ".join(sorted(ALGORITHMS))}"')
    scheme = "DPoP" if dpop else "Bearer"
    headers.append(("WWW-Authenticate", f"{scheme} {', '.join(said)}".strip()))
    return Challenge(_STATUSES.get(reason, 401), tuple(headers), body)


def _parameters(refusal: Refused, error: str, scopes: str) -> list[str]:
    if refusal.reason is Reason.TOKEN_MISSING:  # RFC 6750 §3.1: no error code where no token was sent
        return []
    said = [f'error="{error}"', f'error_description="{refusal.public}"']
    if refusal.reason is Reason.SCOPE_INSUFFICIENT and scopes:
        said.append(f'scope="{scopes}"')
    return said
