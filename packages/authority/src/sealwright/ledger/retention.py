"""For how long leaves and private records are kept, computed for each key. Pure; the time is an argument.

A key's leaves and records live for as long as the key was trusted, and two years more: an attack with an old
key is found late (in 2023 it was a key of seven years). A configuration can only raise that. Leaves are never
purged at all: only private records are, and no earlier than this module says.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealwright.config.retention import DAY, KEEP_FLOOR, Retention
from sealwright.errors import Refused


@dataclass(frozen=True, slots=True)
class KeyTrust:
    """Until when a key was, or is, trusted. Times in seconds since 1970."""

    kid: str
    log_id: str
    verify_until: int
    revoked_at: int | None = None

    @property
    def trusted_until(self) -> int:
        """The last moment at which any validator may have taken a token of this key."""
        return max(self.verify_until, self.revoked_at or 0)


def kept_until(key: KeyTrust, retention: Retention) -> int:
    """Until when the leaves and records of a key are kept (seconds since 1970)."""
    return key.trusted_until + max(retention.keep, KEEP_FLOOR)


def require_purgeable(key: KeyTrust, retention: Retention, now: float) -> None:
    """Return only if the private records of a key may go.

    Raises:
        Refused: `retained`.
    """
    until = kept_until(key, retention)
    if now < until:
        days = int((until - now) // DAY) + 1
        raise Refused("retained", f"records of key {key.kid} are kept for {days} more days, whoever asks")
