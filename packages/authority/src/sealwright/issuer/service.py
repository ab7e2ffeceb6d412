"""Life of a token, the authority's side: authenticate, decide, ask the signer, release.

The steps are named in `submit`, in order. Nothing here can add a claim: the signer takes typed fields.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.issuer.again import Again, Item
from sealwright.issuer.authentication import require_client
from sealwright.issuer.authentication.assertion import AssertionContext
from sealwright.issuer.grants import GRANTS
from sealwright.issuer.model import Grant, RealmPolicy, Signed, SignRequest, TokenRequest
from sealwright.issuer.ports import ClientLookup, ReplayStore, SigningPort
from sealwright.issuer.queue import SignQueue, Validate

SALT_BYTES = 16
TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068 §2.1
_encode = msgspec.json.Encoder().encode

SigningKey = Callable[[str], tuple[SigningPort, str]]
"""Realm to the signer and the id of the key that signs now; raises `Unavailable`."""


def private_record(grant: Grant) -> bytes:
    """Salt and JSON of what was decided (docs/formats/ledger.md). Stays with the authority."""
    facts: dict[str, Any] = {
        "client_id": grant.client.client_id,
        "sub": grant.subject,
        "aud": grant.audiences,
        "scope": grant.scope,
        "grant": grant.grant_type,
        "authentication": grant.authentication,
    }
    if grant.extra:
        facts["extra"] = grant.extra
    return os.urandom(SALT_BYTES) + _encode(facts)


class Issuer:
    """The token endpoints of all realms."""

    def __init__(
        self,
        realms: Mapping[str, RealmPolicy],
        clients: ClientLookup,
        replay: ReplayStore,
        signing_key: SigningKey,
        validate: Validate,
        clock: Clock,
        patience: float = 0.0,
    ) -> None:
        """`patience`: seconds that a request is held while no signer can answer it."""
        self._realms = realms
        self._clients = clients
        self._contexts = {
            name: AssertionContext((realm.issuer, f"{realm.issuer}/oauth2/token"), replay, clock)
            for name, realm in realms.items()
        }
        self._signing_key = signing_key
        self._validate = validate
        self._queues: dict[str, SignQueue] = {}
        self._again = Again(signing_key, self._put, patience)

    def require_realm(self, name: str) -> RealmPolicy:
        """A realm by name.

        Raises:
            Refused: `unknown_realm`.
        """
        realm = self._realms.get(name)
        if realm is None:
            raise Refused("unknown_realm", "no such realm")
        return realm

    def has_realm(self, name: str) -> bool:
        """Whether there is a realm of this name."""
        return name in self._realms

    def submit(self, request: TokenRequest) -> tuple[asyncio.Future[Signed], str]:
        """Ask for a token: the future is done when it may leave; the scope that was granted.

        The future fails with `Refused` (the signer's refusal) or `Unavailable`.

        Raises:
            Refused: an OAuth error code (RFC 6749 §5.2).
            Unavailable: no signer, no key, or too many requests are waiting.
        """
        realm = self.require_realm(request.realm)
        grant_type = request.form.get("grant_type")
        if not grant_type:
            raise Refused("invalid_request", "grant_type is missing")
        client, method = require_client(request, self._clients, self._contexts[realm.name])
        decide = GRANTS.get(grant_type)
        if decide is None:
            raise Refused("unsupported_grant_type", "this authority does not offer that grant")
        grant = decide(request, client, realm, method)
        return self._sign(realm, grant), grant.scope

    def _sign(self, realm: RealmPolicy, grant: Grant) -> asyncio.Future[Signed]:
        try:
            signer, kid = self._signing_key(realm.name)
        except Unavailable as error:
            if not self._again.may(error):
                raise
            return self._held(self._typed(realm, grant, ""), error)
        return self._queue(signer).submit(*self._typed(realm, grant, kid))

    @staticmethod
    def _typed(realm: RealmPolicy, grant: Grant, kid: str) -> tuple[SignRequest, bytes]:
        """What the signer is asked, and the private record."""
        record = private_record(grant)
        typed: SignRequest = (
            realm.name,
            kid,
            TOKEN_TYPE,
            grant.client.client_id,
            grant.subject,
            grant.audiences,
            grant.scope,
            min(grant.lifetime, realm.max_lifetime),
            hashlib.sha256(record).hexdigest(),
            grant.extra,
        )
        return typed, record

    def _held(self, asked: tuple[SignRequest, bytes], error: Unavailable) -> asyncio.Future[Signed]:
        future: asyncio.Future[Signed] = asyncio.get_running_loop().create_future()
        self._again.hold((*asked, future), error)
        return future

    def _queue(self, signer: SigningPort) -> SignQueue:
        queue = self._queues.get(signer.log_id)
        if queue is None:
            queue = self._queues[signer.log_id] = SignQueue(signer, self._validate, self._again)
        return queue

    def _put(self, signer: SigningPort, item: Item) -> None:
        self._queue(signer).put(item)

    def forget_signer(self, log_id: str) -> None:
        """Drop the queue of a signer that is gone. What waits in it fails with `Unavailable`."""
        self._queues.pop(log_id, None)
