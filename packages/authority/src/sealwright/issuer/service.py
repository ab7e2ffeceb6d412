"""Life of a token, the authority's side: authenticate, decide, ask the signer, release.

The steps are `decide` and `submit`. Nothing here can add a claim: the signer takes typed fields.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.issuer.again import Again
from sealwright.issuer.authentication import BY_SECRET, require_client
from sealwright.issuer.authentication.assertion import AssertionContext
from sealwright.issuer.grants import GRANTS
from sealwright.issuer.model import Asked, Client, Grant, Outcome, RealmPolicy, SignRequest, TokenRequest
from sealwright.issuer.ports import ClientLookup, ReplayStore, SigningPort
from sealwright.issuer.queue import SignQueue, Validate

SALT_BYTES = 16
TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068 §2.1
_encode = msgspec.json.Encoder().encode

SigningKey = Callable[[str], tuple[SigningPort, str]]
"""Realm to the signer and the id of the key that signs now; raises `Unavailable`."""


def record_facts(grant: Grant) -> bytes:
    """JSON of what was decided: the private record without its salt."""
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
    return _encode(facts)


class Decided(NamedTuple):
    """What a request gets, for the client as it is registered and the realm as it is configured."""

    client: Client
    realm: RealmPolicy
    scope: str
    typed: tuple[str, str, str, Sequence[str], str, int]
    """typ, client_id, sub, audiences, scope, lifetime (s): what the signer is asked for."""
    extra: Mapping[str, Any] | None
    facts: bytes
    repeatable: bool
    """Whether the same request, sent again, would be decided alike: nothing in it may be used once only."""


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
        marked: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """`patience`: seconds that a request is held while no signer can answer it. `marked` adds the grant
        event to a private record.
        """
        self._marked = marked
        self._realms = realms
        self._clients = clients
        self._contexts = {
            name: AssertionContext((realm.issuer, f"{realm.issuer}/oauth2/token"), replay, clock)
            for name, realm in realms.items()
        }
        self._signing_key = signing_key
        self._validate = validate
        self._queues: dict[str, SignQueue] = {}
        self._again = Again(signing_key, self._put, patience, self._client_holds)

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

    def decide(self, request: TokenRequest) -> Decided:
        """Authenticate the client and decide what it gets.

        Raises:
            Refused: an OAuth error code (RFC 6749 §5.2).
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
        lifetime = min(grant.lifetime, realm.max_lifetime)
        return Decided(
            client=client,
            realm=realm,
            scope=grant.scope,
            typed=(TOKEN_TYPE, client.client_id, grant.subject, grant.audiences, grant.scope, lifetime),
            extra=grant.extra,
            facts=record_facts(grant),
            repeatable=method in BY_SECRET,
        )

    def holds_still(self, decided: Decided) -> bool:
        """Whether the same request would be decided alike now."""
        return (
            decided.repeatable
            and self._is_registered(decided.client)
            and self._realms.get(decided.realm.name) is decided.realm
        )

    def _is_registered(self, client: Client) -> bool:
        now = self._clients.get(client.client_id)
        return now is client or now == client

    def _client_holds(self, asked: Asked) -> bool:
        return asked.client is None or self._is_registered(asked.client)

    def submit(self, decided: Decided, answer: Callable[[Outcome], None]) -> None:
        """Ask for a token. `answer` is called once: with the token when it may leave.

        Raises:
            Unavailable: no signer, no key, or too many requests are waiting.
        """
        record = self._marked(os.urandom(SALT_BYTES) + decided.facts)
        digest = hashlib.sha256(record).hexdigest()
        realm = decided.realm.name
        try:
            signer, kid = self._signing_key(realm)
        except Unavailable as error:
            if not self._again.may(error):
                raise
            request: SignRequest = (realm, "", *decided.typed, digest, decided.extra)
            self._again.hold(Asked(request, record, answer, decided.client), error)
            return
        request = (realm, kid, *decided.typed, digest, decided.extra)
        self._queue(signer).put(Asked(request, record, answer, decided.client))

    def _queue(self, signer: SigningPort) -> SignQueue:
        queue = self._queues.get(signer.log_id)
        if queue is None:
            queue = self._queues[signer.log_id] = SignQueue(signer, self._validate, self._again)
        return queue

    def _put(self, signer: SigningPort, asked: Asked) -> None:
        self._queue(signer).put(asked)

    def forget_signer(self, log_id: str) -> None:
        """Drop the queue of a signer that is gone. What waits in it fails with `Unavailable`."""
        self._queues.pop(log_id, None)
