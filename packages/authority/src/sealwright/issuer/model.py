"""Clients, requests and what is issued.

A client's secret exists here as a digest only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class ClientKind(StrEnum):
    """What a registration is for: asking for tokens, or reporting observations as a relying party."""

    CLIENT = "client"
    REPORTER = "reporter"


class AuthMethod(StrEnum):
    """How a client authenticates (RFC 7591 §2 names)."""

    SECRET = "client_secret"  # noqa: S105 - the name of a method
    PRIVATE_KEY_JWT = "private_key_jwt"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client of one realm.

    Args:
        client_id: unique over all realms.
        realm: the only realm that it can get tokens of.
        secret_digest: SHA-256 of the secret, None for `private_key_jwt`.
        audiences: what it may ask tokens for; the first is the default.
        scopes: what it may ask for; all of them are the default.
        auth_method: the one way in which it authenticates (a secret by basic or post).
        jwks: its public keys for `private_key_jwt`.
        kind: what it is for.
        enabled: false refuses it everywhere.
    """

    client_id: str
    realm: str
    secret_digest: bytes | None
    audiences: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    auth_method: AuthMethod = AuthMethod.SECRET
    jwks: Mapping[str, Any] | None = None
    kind: ClientKind = ClientKind.CLIENT
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class RealmPolicy:
    """What the issuer needs to know of a realm. Lifetimes in seconds."""

    name: str
    issuer: str
    default_lifetime: int
    max_lifetime: int


class TokenRequest(NamedTuple):
    """A parsed request to a token endpoint. `form` has each parameter once (RFC 6749 §3.2)."""

    realm: str
    form: Mapping[str, str]
    authorization: str | None = None


class Grant(NamedTuple):
    """What was decided: the typed fields that the signer is asked for, and how it came about."""

    client: Client
    subject: str
    audiences: tuple[str, ...]
    scope: str
    lifetime: int
    grant_type: str
    authentication: str
    extra: Mapping[str, Any] | None = None


SignRequest = tuple[str, str, str, str, str, Sequence[str], str, int, str, Mapping[str, Any] | None]
"""realm, kid, typ, client_id, sub, audiences, scope, lifetime (s), record digest (hex), extra:
signer-protocol.md.
"""


class Signed(NamedTuple):
    """A token whose leaf is durable, and how long it lives (seconds)."""

    token: str
    expires_in: int


Outcome = Signed | Exception
"""What became of a request: `Refused` (the signer's code), `Unavailable`, or a fault of our own."""


class Asked:
    """A request that waits for its signature. It is answered once, in a turn of the loop of its own."""

    __slots__ = ("_answer", "answered", "client", "record", "request", "until")

    def __init__(
        self,
        request: SignRequest,
        record: bytes,
        answer: Callable[[Outcome], None],
        client: Client | None = None,
    ) -> None:
        """`record` is the private record of the leaf; `answer` is called with what became of it; `client` is
        the registration that it was decided for.
        """
        self.request, self.record, self._answer, self.client = request, record, answer, client
        self.answered = False
        self.until: float | None = None
        """When its patience is over, in the loop's time; set when it is first asked again."""

    def settle(self, outcome: Outcome) -> None:
        """Answer, unless it was answered before."""
        if not self.answered:
            self.answered = True
            asyncio.get_running_loop().call_soon(self._answer, outcome)
