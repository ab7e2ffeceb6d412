"""The ports of response in memory: for tests and rehearsals."""

from __future__ import annotations

from collections.abc import Mapping

from sealwright.admin.model import Action
from sealwright.errors import Refused, SealwrightError
from sealwright.response.model import Preview, Response


class MemoryHands:
    """`Hands` that write down what they did. `failure` is raised instead when set."""

    def __init__(self) -> None:
        self.failure: SealwrightError | None = None
        self.done: list[tuple[Action, str, str]] = []

    async def require_possible(self, action: Action, subject: str) -> None:  # noqa: ARG002 - all is
        """See the port."""
        if isinstance(self.failure, Refused):
            raise self.failure

    async def act(self, action: Action, subject: str, reason: str) -> None:
        """See the port."""
        if self.failure is not None:
            raise self.failure
        self.done.append((action, subject, reason))


class MemoryEyes:
    """`Eyes` on a dictionary of keys and their realms."""

    def __init__(self, realms: Mapping[str, str]) -> None:
        self._realms = dict(realms)

    def preview(self, action: Action, subject: str) -> Preview:
        """See the port."""
        return Preview(live_tokens=10, clients=2, tenants=1, note=f"{action} {subject}")

    def realm_of(self, kid: str) -> str | None:
        """See the port."""
        return self._realms.get(kid)


class MemoryResponseStore:
    """`ResponseStore` in a dictionary."""

    def __init__(self) -> None:
        self._responses: dict[str, Response] = {}

    def keep(self, response: Response) -> None:
        """See the port."""
        self._responses[response.id] = response

    def since(self, at: float) -> list[Response]:
        """See the port."""
        found = [response for response in self._responses.values() if response.at >= at]
        return sorted(found, key=lambda response: (response.at, response.id))
