"""What the issuer needs from outside."""

from __future__ import annotations

from typing import Protocol

from sealwright.issuer.model import Client


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
