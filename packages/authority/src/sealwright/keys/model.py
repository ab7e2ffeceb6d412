"""What a key is to the authority: its announcement, its windows and its state.

Nothing here holds or could hold a private key; those exist in a signer only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class KeyState(StrEnum):
    """State of a key, DESIGN 1. It moves to the right only; `revoked` can follow any of them."""

    STAGED = "staged"
    ACTIVE = "active"
    VERIFY_ONLY = "verify-only"
    RETIRED = "retired"
    REVOKED = "revoked"


PUBLISHED = frozenset({KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY})
"""States in which the manifest lists a key."""


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """How keys of one realm and algorithm live. All durations in seconds."""

    realm: str
    algorithm: str
    use: int
    lead: int
    skew: int
    max_lifetime: int
    manifest_life: int


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the authority knows it. Times are seconds since 1970 (integers)."""

    kid: str
    realm: str
    algorithm: str
    log_id: str
    announcement: str
    ledger_index: int
    jwk: dict[str, Any]
    use_from: int
    use_until: int
    verify_until: int
    state: KeyState
    changed_at: int
    revoked_reason: str | None = None
    issued_before: int | None = None

    @property
    def published(self) -> bool:
        """Whether the manifest lists this key; a revoked one only while older tokens stay valid."""
        return self.state in PUBLISHED or (self.state is KeyState.REVOKED and self.issued_before is not None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A signed manifest and what is served with it. Times are seconds since 1970."""

    version: int
    issued_at: int
    expires_at: int
    jws: str
    admission: str
    content: str
    """SHA-256 (hex) of what it lists without version and times: equal when nothing changed."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key that must never come back, with its public half."""

    kid: str
    at: int
    reason: str
    jwk: dict[str, Any]
    over: int
    """The end of its announced window: a key that was buried before it is told of for as long after it."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One run of one signer, as admitted by a signed statement; not `live` once its log is closed."""

    log_id: str
    origin: str
    jwk: dict[str, Any]
    evidence: str
    admission: str
    live: bool
