"""Server-provided nonces for DPoP (RFC 9449 §8, §9), without a store: a keyed digest of the time.

Several processes that answer for one service share the secret. May never accept a nonce that it did not give
out in this or the last period.
"""

import hmac
from secrets import token_bytes
from typing import Final

from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Misconfigured

PERIOD: Final = 60.0  # seconds that a nonce is the current one; the last one is accepted as well
_MIN_SECRET: Final = 32  # bytes


class Nonces:
    """Gives out and recognises nonces. `secret` is at least 32 random bytes; a fresh one without it."""

    def __init__(self, secret: bytes | None = None, *, period: float = PERIOD) -> None:
        if secret is not None and len(secret) < _MIN_SECRET:
            raise Misconfigured("the secret of the nonces needs 32 bytes at least")
        if not 1 <= period <= 3600:  # noqa: PLR2004 - an hour
            raise Misconfigured("a nonce lives between a second and an hour")
        self._secret = secret or token_bytes(_MIN_SECRET)
        self._period = period

    def current(self, now: float) -> str:
        """The nonce to use now (seconds since 1970)."""
        return self._nonce(int(now // self._period))

    def is_ours(self, unverified: str, now: float) -> bool:
        """Whether a nonce was given out in this or the last period."""
        index, given = int(now // self._period), unverified.encode("utf-8", "replace")
        return any(hmac.compare_digest(self._nonce(at).encode(), given) for at in (index, index - 1))

    def _nonce(self, index: int) -> str:
        return encode_base64url(hmac.digest(self._secret, index.to_bytes(8, "big"), "sha256")[:18])
