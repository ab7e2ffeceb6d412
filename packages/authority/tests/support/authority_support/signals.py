"""A Shared Signals transmitter with its routes, a pusher, and a receiver written from the specifications."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jsonschema
import jwt
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sealwright.detection.memory import SteppedClock
from sealwright.response.ssf import http
from sealwright.response.ssf.keys import RsaSetSigner
from sealwright.response.ssf.line import HttpLine
from sealwright.response.ssf.memory import MemoryReceivers
from sealwright.response.ssf.model import PUSH, Event
from sealwright.response.ssf.ports import StreamStore
from sealwright.response.ssf.pushing import GivenUp, Pusher, PushMetrics
from sealwright.response.ssf.rules import token_revoked
from sealwright.response.ssf.service import Transmitter

BASE = "http://127.0.0.1:8420"
BOTH = frozenset({"ssf.manage", "ssf.read"})
TOKENS = {
    "Bearer one": ("receiver-1", BOTH),
    "Bearer two": ("receiver-2", BOTH),
    "Bearer reader": ("receiver-1", frozenset({"ssf.read"})),
}
SIGNER = RsaSetSigner()
_TEXT = {"type": "string", "minLength": 1}
_CAEP, _RISC, _SSF = (
    f"https://schemas.openid.net/secevent/{family}/event-type/" for family in ("caep", "risc", "ssf")
)


def _subject(kind: str, **members: Any) -> dict[str, Any]:
    """The schema of one subject format, every member of which is required and none more allowed."""
    names = {"format": {"const": kind}, **members}
    return {"type": "object", "required": [*names], "properties": names, "additionalProperties": False}


_ISS_SUB = _subject("iss_sub", iss=_TEXT, sub=_TEXT)
_OPAQUE = _subject("opaque", id=_TEXT)
_COMPLEX = {
    "type": "object",
    "required": ["format"],
    "minProperties": 2,
    "properties": {
        "format": {"const": "complex"},
        "user": _ISS_SUB,
        "application": _ISS_SUB,
        "tenant": _OPAQUE,
    },
    "additionalProperties": False,
}
_CAEP_MEMBERS = {
    "event_timestamp": {"type": "integer"},
    "initiating_entity": {"enum": ["admin", "user", "policy", "system"]},
    "reason_admin": {"type": "object", "minProperties": 1, "additionalProperties": _TEXT},
}


def _event(*needed: str, **members: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*needed], "properties": members}


_EVENTS = {
    _CAEP + "session-revoked": _event("event_timestamp", "reason_admin", **_CAEP_MEMBERS),
    _CAEP + "token-claims-change": _event("claims", claims={"type": "object"}, **_CAEP_MEMBERS),
    _CAEP + "credential-change": _event(
        "credential_type",
        "change_type",
        credential_type=_TEXT,
        change_type={"enum": ["create", "revoke", "update", "delete"]},
        friendly_name=_TEXT,
        **_CAEP_MEMBERS,
    ),
    _RISC + "credential-compromise": _event(
        "credential_type",
        credential_type=_TEXT,
        event_timestamp={"type": "integer"},
        reason_admin=_TEXT,
    ),
    _SSF + "verification": _event(state=_TEXT),
    _SSF + "stream-updated": _event(
        "status", status={"enum": ["enabled", "paused", "disabled"]}, reason=_TEXT
    ),
}
SET_SCHEMA = {
    "type": "object",
    "required": ["iss", "jti", "iat", "aud", "sub_id", "events", "txn"],
    "properties": {
        "iss": {"const": BASE},
        "jti": {"type": "string", "minLength": 16},
        "iat": {"type": "integer"},
        "aud": _TEXT,
        "txn": _TEXT,
        "events": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "properties": _EVENTS,
            "additionalProperties": False,
        },
        "sub_id": {"oneOf": [_ISS_SUB, _OPAQUE, _COMPLEX, _subject("jwt_id", iss=_TEXT, jti=_TEXT)]},
    },
    "additionalProperties": False,
}
"""Written from SSF 1.0 section 4, CAEP 1.0 section 3, RISC 1.0 section 2 and RFC 9493; `sub` and `exp` are
not in it.
"""


class Receiver:
    """A push receiver written from RFC 8935, with switches for what can go wrong."""

    def __init__(self) -> None:
        self.sets: list[dict[str, Any]] = []
        self.down = False
        self.down_after: int | None = None
        self.refuse = False
        self.answers: dict[str, str] | None = {"err": "invalid_audience", "description": "not mine"}
        self.slow = ""
        self.go_on = asyncio.Event()
        self.app = Starlette(routes=[Route("/events", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        if self.down or len(self.sets) == self.down_after:
            return Response(status_code=503)
        if self.refuse:
            return JSONResponse(self.answers, 400) if self.answers else Response("bad request", 400)
        assert request.headers["content-type"] == "application/secevent+jwt"
        assert request.headers["authorization"] == "Bearer for-push"
        claims = verified((await request.body()).decode())
        if claims["txn"] == self.slow:
            await self.go_on.wait()
        self.sets.append(claims)
        return Response(status_code=202)


def verified(signed: str) -> dict[str, Any]:
    """Check a SET as a receiver does, with a library of others; returns its claims."""
    header = jwt.get_unverified_header(signed)
    assert (header["typ"], header["alg"]) == ("secevent+jwt", "RS256")
    (jwk,) = [key for key in SIGNER.jwks()["keys"] if key["kid"] == header["kid"]]
    claims: dict[str, Any] = jwt.decode(
        signed,
        jwt.PyJWK(jwk).key,
        algorithms=["RS256"],
        issuer=BASE,
        options={"verify_aud": False, "verify_iat": False},
    )
    jsonschema.validate(claims, SET_SCHEMA)
    return claims


class World:
    """A transmitter, its routes, a pusher and a receiver."""

    def __init__(self, store: StreamStore) -> None:
        self.clock = SteppedClock()
        self.store = store
        self.transmitter = Transmitter(BASE, store, SIGNER, self.clock)
        self.app = Starlette(routes=http.routes(self.transmitter, SIGNER, MemoryReceivers(TOKENS), BASE))
        self.receiver = Receiver()
        self.registry = CollectorRegistry()
        self.pusher = self.made_pusher()

    def made_pusher(self, given_up: GivenUp | None = None) -> Pusher:
        line = HttpLine(lambda: httpx.AsyncClient(transport=httpx.ASGITransport(self.receiver.app)))
        metrics = PushMetrics(self.registry if given_up is None else CollectorRegistry())
        return Pusher(self.transmitter, self.store, SIGNER, line, self.clock, metrics, given_up=given_up)

    def client(self, token: str = "one") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)

    async def push_stream(self, client: httpx.AsyncClient) -> str:
        delivery = {
            "method": PUSH,
            "endpoint_url": "http://127.0.0.1:9/events",
            "authorization_header": "Bearer for-push",
        }
        answer = await client.post("/ssf/stream", json={"delivery": delivery})
        assert answer.status_code == 201
        return str(answer.json()["stream_id"])

    def revoked(self, number: int, txn: str = "txn") -> Event:
        return token_revoked(BASE + "/enterprise", f"jti-{number}", self.clock.now(), txn, "stolen")


def acting(world: World, act: Callable[[httpx.AsyncClient], Awaitable[None]], token: str = "one") -> None:
    async def main() -> None:
        async with world.client(token) as client:
            await act(client)

    asyncio.run(main())
