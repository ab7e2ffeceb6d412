"""What the issuer needs from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sealwright.issuer.model import Client, SignRequest


class ClientStore(Protocol):
    """Registered clients."""

    def get(self, client_id: str) -> Client | None:
        """A client, enabled or not."""
        ...

    def add(self, client: Client) -> None:
        """Register a client. `client_exists` when the id is taken."""
        ...

    def list(self) -> list[Client]:
        """Every client, by id."""
        ...

    def set_enabled(self, client_id: str, *, enabled: bool) -> None:
        """Enable or disable. `unknown_client` when there is none."""
        ...


class ReplayStore(Protocol):
    """Client assertions that were used."""

    def use_once(self, client_id: str, assertion_id: str, expires_at: int, now: int) -> bool:
        """True the first time, durably; false ever after until the assertion has expired."""
        ...


class ClientLookup(Protocol):
    """Finds a client quickly; may answer from a short-lived cache."""

    def get(self, client_id: str) -> Client | None:
        """A client, enabled or not."""
        ...


class SigningPort(Protocol):
    """One live signer, seen from the issuer."""

    @property
    def log_id(self) -> str:
        """Its log."""
        ...

    async def sign(
        self, requests: Sequence[SignRequest], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        """Sign a batch; returns only after its leaves and records are durable.

        `answered` is called when the signer is free for the next batch, before this one is durable.
        Each result is (token, seconds that it lives) or {"refused": code, "message": text}.

        Raises:
            Unavailable: nothing of the batch may leave.
        """
        ...
