"""A short-lived cache in front of the client store, so that a token request reads no database."""

from __future__ import annotations

from sealwright.clock import Clock
from sealwright.errors import Refused
from sealwright.issuer.authentication import secret
from sealwright.issuer.model import Client, ClientKind
from sealwright.issuer.ports import ClientLookup, ClientStore

LIFE = 2.0
"""Seconds that an answer is kept: how long a client that was disabled can still get tokens."""
MAX_CLIENTS = 10_000


class CachedClients:
    """`ClientLookup` over a `ClientStore`."""

    def __init__(self, store: ClientStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, tuple[float, Client | None]] = {}

    def get(self, client_id: str) -> Client | None:
        """A client, at most two seconds old."""
        now = self._clock.now()
        kept = self._kept.get(client_id)
        if kept is not None and 0 <= now - kept[0] < LIFE:
            return kept[1]
        client = self._store.get(client_id)
        if kept is not None and kept[1] == client:
            client = kept[1]  # the same object as long as it is the same registration
        if len(self._kept) >= MAX_CLIENTS:
            self._kept.clear()
        self._kept[client_id] = (now, client)
        return client

    def forget(self) -> None:
        """Ask the store again from now on."""
        self._kept.clear()


class ReporterCredentials:
    """`ReporterAuth`: relying parties that may report observations, by HTTP Basic."""

    def __init__(self, clients: ClientLookup) -> None:
        self._clients = clients

    async def reporter(self, unverified_authorization: str | None) -> str:
        """The reporter's client id.

        Raises:
            Refused: `invalid_client`.
        """
        return self.relying_party(unverified_authorization).client_id

    def relying_party(self, unverified_authorization: str | None) -> Client:
        """The registration of the reporter.

        Raises:
            Refused: `invalid_client`.
        """
        if not unverified_authorization:
            raise Refused("invalid_client", "show the credentials of a registered reporter")
        client = secret.require_basic(unverified_authorization, self._clients)
        if client.kind is not ClientKind.REPORTER or not client.enabled:
            raise Refused("invalid_client", "this client is not registered as a reporter")
        return client
