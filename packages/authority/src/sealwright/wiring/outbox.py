"""Says in the transmitter's outbox what was revoked, in the transaction that revokes it.

Either both are durable or neither is: no revocation goes untold, and none is told that did not happen.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from sealwright.admin.requests import request_digest
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.ids import new_id
from sealwright.issuer.model import Client
from sealwright.keys.model import Key
from sealwright.response.ssf.rules import ADMIN, POLICY, client_disabled, key_revoked
from sealwright.store.ssf import put


def initiator() -> str:
    """Who began what is being done: an operator where a request to the admin surface is being answered."""
    return ADMIN if request_digest.get() is not None else POLICY


class Outbox:
    """Called by the stores of keys and clients, with their transaction."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._transmitter = config.server.url
        self._issuer: Callable[[str], str] = config.issuer
        self._clock = clock

    def key_revoked(self, connection: Connection, key: Key) -> None:
        """A key was revoked."""
        issuer, reason = self._issuer(key.realm), key.revoked_reason or "revoked"
        at = float(key.changed_at)
        events = key_revoked(issuer, key.kid, at, new_id("txn"), reason, key.issued_before, initiator())
        put(connection, events, self._transmitter, self._clock.now())

    def client_disabled(self, connection: Connection, client: Client) -> None:
        """A client was disabled."""
        now = self._clock.now()
        event = client_disabled(
            self._issuer(client.realm), client.client_id, now, new_id("txn"), "client disabled", initiator()
        )
        put(connection, [event], self._transmitter, now)
