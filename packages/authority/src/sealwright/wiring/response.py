"""Puts detection's outlets, response and the Shared Signals transmitter together. Starts nothing.

The authority hands in what it has; what comes back are routes and the work that runs beside the servers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.admin.service import Approvals, Auditor
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection.casebook import Casebook
from sealwright.detection.delivery import Delivery
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Severity
from sealwright.detection.rules import state_alarm
from sealwright.errors import Unavailable
from sealwright.keys.service import KeyService
from sealwright.response import canaries_http, notices_http
from sealwright.response import http as response_http
from sealwright.response.desk import Desk
from sealwright.response.model import Mode, Rule
from sealwright.response.rules import DEFAULT_RULES
from sealwright.response.service import Responder
from sealwright.response.ssf import http as ssf_http
from sealwright.response.ssf.keys import RsaSetSigner
from sealwright.response.ssf.line import HttpLine
from sealwright.response.ssf.ports import ReceiverAuth
from sealwright.response.ssf.pushing import LANES, Pusher, PushMetrics
from sealwright.response.ssf.service import Transmitter
from sealwright.wiring.hands import AuthorityEyes, AuthorityHands, StrictRealms
from sealwright.wiring.history import History
from sealwright.wiring.living import LiveTokens
from sealwright.wiring.notices import FileNoticeSigner
from sealwright.wiring.sinks import deliveries, sinks
from sealwright.wiring.stores import Stores

log = logging.getLogger(__name__)
STATE_SECONDS = 10.0
"""How often audit entries that the ledger does not know yet are stated there."""
CONNECTIONS = httpx.Limits(max_connections=LANES, max_keepalive_connections=LANES, keepalive_expiry=300)
"""Kept connections to each receiver, so that a revocation waits for no handshake."""
UNACKNOWLEDGED, REFUSED = "signals_unacknowledged", "signals_refused"


@dataclass(frozen=True, slots=True)
class Given:
    """What response is built on."""

    config: Config
    clock: Clock
    stores: Stores
    keys: KeyService
    feed: AlarmFeed
    metrics: DetectionMetrics
    registry: CollectorRegistry
    auditor: Auditor
    receivers: ReceiverAuth
    forget_clients: Callable[[], None]


class Answers:
    """Everything that happens because of an alarm."""

    def __init__(self, given: Given) -> None:
        config, stores, clock = given.config, given.stores, given.clock
        self._given = given
        self._signer = RsaSetSigner()
        self._notices = FileNoticeSigner(config.state.path / "notices")
        self.transmitter = Transmitter(config.server.url, stores.streams, self._signer, clock)
        self.pusher = Pusher(
            self.transmitter,
            stores.streams,
            self._signer,
            HttpLine(_connector()),
            clock,
            PushMetrics(given.registry),
            self._unacknowledged,
            self._given_up,
        )
        self.casebook = Casebook(given.feed, given.registry)
        longest = max((realm.max_lifetime for realm in config.realms.values()), default=0)
        tokens = LiveTokens(stores.ledger, clock, longest)
        self._eyes = AuthorityEyes(tokens, stores.keys)
        configured = [name for name, realm in config.realms.items() if realm.strict]
        self.strict = StrictRealms(configured, list(config.realms), stores.strict, given.keys, clock)
        self._hands = AuthorityHands(
            given.keys,
            stores.clients,
            given.forget_clients,
            self.strict,
            tokens,
            self.transmitter,
            self._issuer_of,
        )
        self.responder = Responder(
            rules_of(config),
            given.feed,
            stores.cursors,
            stores.responses,
            self._eyes,
            self._hands,
            given.auditor,
            clock,
        )
        self.deliveries: dict[str, Delivery] = deliveries(
            sinks(config, clock), given.feed, stores.cursors, given.metrics
        )
        self.history = History(config, clock, given.feed, given.metrics, given.registry)

    def public_routes(self) -> list[Route]:
        """The transmitter's."""
        given = self._given
        return [
            *ssf_http.routes(self.transmitter, self._signer, given.receivers, given.config.server.url),
            *notices_http.public_routes(self._notices.jwks),
        ]

    def admin_routes(self, operator: str) -> list[Route]:
        """Incidents, responses and acts."""
        stores = self._given.stores
        desk = Desk(stores.responses, self._eyes, self._hands, self._given.auditor, self._given.clock)
        clock = self._given.clock
        approvals = Approvals(stores.approvals, self._given.auditor, clock)
        return [
            *response_http.routes(self.casebook, stores.responses, desk, operator, self.strict),
            *notices_http.routes(approvals, stores.notices, self._notices, clock, operator),
            *canaries_http.routes(stores.canaries, desk, clock, operator),
            Route("/admin/search", self._search, methods=["POST"]),
        ]

    async def _search(self, _request: Request) -> Response:
        """Search history now rather than at its time."""
        searched = await self.history.search()
        return Response(msgspec.json.encode({"searched": searched}), media_type="application/json")

    def background(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs beside the servers, by name."""
        return {
            "responder": self.responder.run(),
            "casebook": self.casebook.run(),
            "signals": self.pusher.run(),
            "signals key": self._log_key(),
            "history": self.history.run(),
            "audit statements": self._state_audit(),
        } | {f"alarms to {name}": delivery.run() for name, delivery in self.deliveries.items()}

    async def _log_key(self) -> None:
        """Say in the audit trail, and so in the ledger, with which key security events are signed from
        now.
        """
        await self._given.auditor.audit("system:authority", "signals_key", self._signer.kid, {"alg": "RS256"})
        await asyncio.Event().wait()

    async def _state_audit(self) -> None:
        while True:
            try:
                await self._given.auditor.state()
            except Unavailable as error:
                log.warning("audit not stated", extra={"facts": {"code": error.code}})
            await asyncio.sleep(STATE_SECONDS)

    async def _unacknowledged(self, stream_id: str, since: float) -> None:
        """A receiver has not taken an event for too long: an alarm, once for each event that holds others
        up.
        """
        given = self._given
        now = given.clock.now()
        if now - since < given.config.signals.unacknowledged:
            return
        facts: dict[str, Any] = {"subject": stream_id, "since": since, "age": now - since}
        await self._raise(UNACKNOWLEDGED, f"{stream_id} {since}", since, facts)

    async def _given_up(self, stream_id: str, jti: str, err: str) -> None:
        """A receiver will never take an event: somebody has to tell it otherwise."""
        await self._raise(
            REFUSED, jti, self._given.clock.now(), {"subject": stream_id, "set": jti, "err": err}
        )

    async def _raise(self, code: str, subject: str, at: float, facts: dict[str, Any]) -> None:
        given = self._given
        alarm = state_alarm(code, Severity.HIGH, subject, given.clock.now(), at, facts)
        if await asyncio.to_thread(given.stores.alarms.add, [alarm]):
            given.metrics.hunted(code, Severity.HIGH.value, 1)
            given.feed.wake()

    def _issuer_of(self, kid: str) -> str | None:
        realm = self._eyes.realm_of(kid)
        return self._given.config.issuer(realm) if realm is not None else None


def _connector() -> Callable[[], httpx.AsyncClient]:
    """Makes clients for receivers; what is trusted is read once, which takes longer than all the rest."""
    trusted = httpx.create_ssl_context()
    return lambda: httpx.AsyncClient(limits=CONNECTIONS, verify=trusted)


def rules_of(config: Config) -> list[Rule]:
    """The product's rules, each as far as the configuration lets it go."""
    asked = config.response
    return [
        replace(
            rule, mode=Mode(getattr(asked, rule.name.replace("-", "_"))), most=asked.most, within=asked.within
        )
        for rule in DEFAULT_RULES
    ]
