"""What the keys room needs from outside: signers, durable key states, a ledger for every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sealwright.keys.model import Incarnation, Key, KeyState, Manifest, Tombstone


class SignerPort(Protocol):
    """One live, admitted incarnation. Every answer returns only after its ledger batch is durable."""

    @property
    def log_id(self) -> str:
        """Its log."""
        ...

    async def make_key(
        self, realm: str, algorithm: str, use_from: int, use_until: int, verify_until: int
    ) -> tuple[str, int]:
        """Make a key; returns its announcement (JWS) and the index of the announcing leaf."""
        ...

    async def activate(self, kid: str) -> None:
        """Let the key sign, and destroy the private half of the one before."""
        ...

    async def destroy(self, kid: str, reason: str) -> None:
        """Destroy the private half. Returns when it is gone."""
        ...

    async def manifest(self, fields: Mapping[str, Any]) -> str:
        """Sign a manifest (JWS)."""
        ...

    async def statement(self, kind: str, digest: str) -> int:
        """Append a statement leaf; returns its index."""
        ...

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        """Sign a batch of tokens; `answered` is called when the signer is free, before they are durable."""
        ...


class KeyStore(Protocol):
    """Durable key states. Every write is one transaction and is durable when it returns."""

    def unretired(self) -> list[Key]:
        """Every key that is not retired, and revoked ones whose last token could still live."""
        ...

    def get(self, kid: str) -> Key | None:
        """A key in any state."""
        ...

    def add(self, key: Key) -> None:
        """Insert a key. A kid that exists already is an error of the caller."""
        ...

    def settle(
        self,
        kid: str,
        state: KeyState,
        at: int,
        *,
        reason: str | None = None,
        issued_before: int | None = None,
    ) -> None:
        """Move a key to a later state."""
        ...

    def tombstones(self, retired_since: int, revoked_since: int) -> list[Tombstone]:
        """Keys retired or over, or revoked without a bound, since then (seconds since 1970)."""
        ...

    def latest_manifest(self) -> Manifest | None:
        """The newest manifest that was stored."""
        ...

    def add_manifest(self, manifest: Manifest) -> None:
        """Store a manifest; its version must be newer than every stored one."""
        ...


class AdmissionPort(Protocol):
    """The incarnations that were admitted."""

    def incarnations(self) -> Sequence[Incarnation]:
        """Every admitted incarnation that has keys which are still published, live ones first."""
        ...
