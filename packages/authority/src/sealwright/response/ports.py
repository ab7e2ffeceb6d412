"""What response needs from outside: hands to act with, eyes for the preview, a memory."""

from __future__ import annotations

from typing import Protocol

from sealwright.admin.model import Action
from sealwright.response.model import Canary, Preview, Response


class Hands(Protocol):
    """Carries actions out. Each returns only when the change is durable; each only takes power away."""

    async def require_possible(self, action: Action, subject: str) -> None:
        """Refuse what `act` would refuse as things are now; changes nothing.

        Raises:
            Refused: it cannot be done to this subject.
        """
        ...

    async def act(self, action: Action, subject: str, reason: str) -> None:
        """Do it. Doing it twice is harmless.

        Raises:
            Refused: it cannot be done to this subject.
            Unavailable: it could not be done now.
        """
        ...


class Strictness(Protocol):
    """Takes back that a realm was raised to strict."""

    async def require_raised(self, realm: str) -> None:
        """Refuse what `lower_realm` would refuse; changes nothing. Raises `Refused` (`unknown_realm`,
        `not_raised`).
        """
        ...

    async def lower_realm(self, realm: str) -> None:
        """Take back what a response did; what the configuration says stays. Raises as `require_raised`."""
        ...


class Eyes(Protocol):
    """Says what an action would touch. Called in a worker thread."""

    def preview(self, action: Action, subject: str) -> Preview:
        """The action's own blast radius, now."""
        ...

    def realm_of(self, kid: str) -> str | None:
        """The realm of a key of ours; None where it was never ours."""
        ...


class CanaryStore(Protocol):
    """Keeps what was planted. Called in a worker thread."""

    def plant(self, canary: Canary) -> None:
        """Keep a canary; durable when this returns. Raises `Refused` (`canary_known`) when it is there."""
        ...

    def planted(self) -> list[Canary]:
        """Every canary, oldest first."""
        ...


class ResponseStore(Protocol):
    """Keeps what was decided and what came of it. Called in a worker thread."""

    def keep(self, response: Response) -> None:
        """Keep a response, or replace the one with the same id. Durable when this returns."""
        ...

    def since(self, at: float) -> list[Response]:
        """Responses from a time (unix seconds) on, oldest first."""
        ...
