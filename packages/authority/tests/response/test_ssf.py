"""The transmitter as a receiver meets it: a client written from the specifications; no outage loses a SET."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import jwt
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authority_support.postgres import POSTGRESQL, database
from sealwright.detection.memory import SteppedClock
from sealwright.errors import Unavailable
from sealwright.response.ssf import http
from sealwright.response.ssf.keys import RsaSetSigner
from sealwright.response.ssf.memory import MemoryLine, MemoryReceivers, MemoryStreamStore
from sealwright.response.ssf.model import PUSH, Event, Status
from sealwright.response.ssf.ports import StreamStore
from sealwright.response.ssf.pushing import HttpLine, Pusher, PushMetrics
from sealwright.response.ssf.rules import token_revoked
from sealwright.response.ssf.service import Transmitter
from sealwright.store.db import make_tables, open_state
from sealwright.store.ssf import SqlStreamStore

BASE = "http://127.0.0.1:8420"
BOTH = frozenset({"ssf.manage", "ssf.read"})
TOKENS = {
    "Bearer one": ("receiver-1", BOTH),
    "Bearer two": ("receiver-2", BOTH),
    "Bearer reader": ("receiver-1", frozenset({"ssf.read"})),
}
SIGNER = RsaSetSigner()
SET_SCHEMA = {
    "type": "object",
    "required": ["iss", "jti", "iat", "aud", "sub_id", "events", "txn"],
    "properties": {
        "iss": {"const": BASE},
        "jti": {"type": "string", "minLength": 16},
        "iat": {"type": "integer"},
        "events": {"type": "object", "minProperties": 1, "maxProperties": 1},
        "sub_id": {"type": "object", "required": ["format"]},
        "sub": False,
        "exp": False,
    },
}


class Receiver:
    """A push receiver written from RFC 8935, with switches for what can go wrong."""

    def __init__(self) -> None:
        self.sets: list[dict[str, Any]] = []
        self.down = False
        self.refuse = False
        self.app = Starlette(routes=[Route("/events", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        if self.down:
            return Response(status_code=503)
        if self.refuse:
            return JSONResponse({"err": "invalid_audience", "description": "not mine"}, 400)
        assert request.headers["content-type"] == "application/secevent+jwt"
        assert request.headers["authorization"] == "Bearer for-push"
        self.sets.append(verified((await request.body()).decode()))
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
        line = HttpLine(httpx.AsyncClient(transport=httpx.ASGITransport(self.receiver.app)))
        self.pusher = Pusher(self.transmitter, store, SIGNER, line, self.clock, PushMetrics(self.registry))

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

    def revoked(self, number: int) -> Event:
        return token_revoked(
            BASE + "/enterprise", f"jti-{number}", self.clock.now(), f"txn-{number}", "stolen"
        )


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield World(MemoryStreamStore())
        return
    if request.param == "postgresql":
        with database() as engine:
            make_tables(engine)
            yield World(SqlStreamStore(engine))
        return
    engine = open_state(tmp_path)
    yield World(SqlStreamStore(engine))
    engine.dispose()


def acting(world: World, act: Callable[[httpx.AsyncClient], Awaitable[None]], token: str = "one") -> None:
    async def main() -> None:
        async with world.client(token) as client:
            await act(client)

    asyncio.run(main())


def test_the_metadata_is_what_the_interoperability_profile_asks_for(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        told = (await client.get("/.well-known/ssf-configuration")).json()
        assert told["spec_version"] == "1_0"
        assert told["issuer"] == BASE
        assert told["delivery_methods_supported"] == ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"]
        assert {"spec_urn": "urn:ietf:rfc:6749"} in told["authorization_schemes"]
        (key,) = (await client.get(told["jwks_uri"])).json()["keys"]
        assert len(base64.urlsafe_b64decode(key["n"] + "==")) * 8 >= 2_048
        assert "d" not in key

    acting(world, act)


def test_a_stream_lives_through_all_its_management(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        wanted = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
        made = await client.post(
            "/ssf/stream", json={"events_requested": [wanted, "urn:unknown"], "description": "d"}
        )
        stream = made.json()
        assert (made.status_code, stream["events_delivered"], stream["aud"]) == (201, [wanted], "receiver-1")
        assert stream["delivery"]["endpoint_url"].endswith(f"/ssf/poll/{stream['stream_id']}")
        one = {"stream_id": stream["stream_id"]}
        assert (await client.get("/ssf/stream", params=one)).json() == stream
        assert (await client.get("/ssf/stream")).json() == [stream]
        patched = (await client.patch("/ssf/stream", json=one | {"description": "e"})).json()
        assert (patched["description"], patched["events_delivered"]) == ("e", [wanted])
        replaced = (await client.put("/ssf/stream", json=one)).json()
        assert "description" not in replaced
        assert len(replaced["events_delivered"]) == 4
        paused = await client.post("/ssf/status", json=one | {"status": "paused", "reason": "night"})
        assert paused.json() == one | {"status": "paused", "reason": "night"}
        assert (await client.get("/ssf/status", params=one)).json()["status"] == "paused"
        assert (await client.delete("/ssf/stream", params=one)).status_code == 204
        assert (await client.get("/ssf/stream", params=one)).status_code == 404

    acting(world, act)


def test_a_stream_of_another_receiver_does_not_exist(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        async with world.client("two") as other:
            one = {"stream_id": stream_id}
            assert (await other.get("/ssf/stream", params=one)).status_code == 404
            assert (await other.delete("/ssf/stream", params=one)).status_code == 404
            assert (await other.patch("/ssf/stream", json=one)).status_code == 404
            assert (await other.post("/ssf/status", json=one | {"status": "disabled"})).status_code == 404
            assert (await other.post("/ssf/verify", json=one)).status_code == 404
            assert (
                await other.post(f"/ssf/poll/{stream_id}", json={"returnImmediately": True})
            ).status_code == 404
            assert (await other.get("/ssf/stream")).json() == []

    acting(world, act)


def test_without_token_or_scope_nothing_is_told(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        assert (await client.post("/ssf/stream", json={})).status_code == 403
        nobody = await client.get("/ssf/stream", headers={"Authorization": "Bearer x"})
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (
            401,
            'Bearer error="invalid_token"',
        )

    acting(world, act, "reader")


def test_pushed_events_arrive_in_order_signed_and_once(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        for number in range(5):
            await world.transmitter.emit([world.revoked(number)])
        assert await world.pusher.drain(stream_id) == 5
        assert await world.pusher.drain(stream_id) == 0

    acting(world, act)
    subjects = [claims["sub_id"] for claims in world.receiver.sets]
    assert subjects == [
        {"format": "jwt_id", "iss": BASE + "/enterprise", "jti": f"jti-{n}"} for n in range(5)
    ]
    assert len({claims["jti"] for claims in world.receiver.sets}) == 5


def test_an_outage_of_the_receiver_loses_nothing_and_keeps_jti_and_order(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        world.receiver.down = True
        queued: list[str] = []
        for number in range(20):
            await world.transmitter.emit([world.revoked(number)])
            world.clock.time += 30  # ten minutes in all
            with pytest.raises(Unavailable):
                await world.pusher.drain(stream_id)
            queued = [waiting.jti for waiting in world.store.waiting(stream_id, 100)]
        assert world.clock.now() - world.store.oldest()[stream_id] == 600
        world.receiver.down = False
        assert await world.pusher.drain(stream_id) == 20
        assert [claims["jti"] for claims in world.receiver.sets] == queued
        assert world.store.oldest() == {}

    acting(world, act)


def test_an_event_that_nobody_acknowledges_is_told_of_unless_its_receiver_paused(world: World) -> None:
    told: list[tuple[str, float]] = []

    async def waited(stream_id: str, since: float) -> None:
        told.append((stream_id, since))

    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        metrics = PushMetrics(CollectorRegistry())
        pusher = Pusher(world.transmitter, world.store, SIGNER, MemoryLine(), world.clock, metrics, waited)
        began = world.clock.now()
        await world.transmitter.emit([world.revoked(1)])
        world.clock.time += 600
        await pusher.measure({stream_id})
        assert told == [(stream_id, began)]
        told.clear()
        await pusher.measure(set())  # paused
        await pusher.drain(stream_id)
        await pusher.measure({stream_id})
        assert told == []

    acting(world, act)


def test_a_set_that_is_refused_for_good_does_not_hold_up_the_next(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        world.receiver.refuse = True
        await world.transmitter.emit([world.revoked(1)])
        assert await world.pusher.drain(stream_id) == 0
        world.receiver.refuse = False
        await world.transmitter.emit([world.revoked(2)])
        assert await world.pusher.drain(stream_id) == 1
        assert world.registry.get_sample_value("sealwright_ssf_refused_total") == 1

    acting(world, act)


def test_a_paused_stream_holds_events_back_and_a_disabled_one_gets_none(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        one = {"stream_id": stream_id}
        await client.post("/ssf/status", json=one | {"status": "paused"})
        await world.transmitter.emit([world.revoked(1)])
        assert await world.pusher.drain(stream_id) == 0
        await client.post("/ssf/status", json=one | {"status": "enabled"})
        assert await world.pusher.drain(stream_id) == 1
        await client.post("/ssf/status", json=one | {"status": "disabled"})
        assert await world.transmitter.emit([world.revoked(2)]) == 0

    acting(world, act)


def test_verification_comes_back_with_its_state_and_not_too_often(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        asked = {"stream_id": stream_id, "state": "abc"}
        assert (await client.post("/ssf/verify", json=asked)).status_code == 204
        assert (await client.post("/ssf/verify", json=asked)).status_code == 429
        await world.pusher.drain(stream_id)
        (claims,) = world.receiver.sets
        assert claims["sub_id"] == {"format": "opaque", "id": stream_id}
        (event,) = claims["events"].items()
        assert event == ("https://schemas.openid.net/secevent/ssf/event-type/verification", {"state": "abc"})

    acting(world, act)


def test_a_receiver_is_told_before_we_stop_its_stream(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        await world.transmitter.withdraw(stream_id, Status.PAUSED, "maintenance")
        (waiting,) = world.store.waiting(stream_id, 10)
        (content,) = waiting.claims["events"].values()
        assert content == {"status": "paused", "reason": "maintenance"}

    acting(world, act)


def test_polling_gives_acknowledges_and_rejects(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = (await client.post("/ssf/stream", json={})).json()["stream_id"]
        for number in range(3):
            await world.transmitter.emit([world.revoked(number)])
        path, now = f"/ssf/poll/{stream_id}", {"returnImmediately": True}
        first = (await client.post(path, json=now | {"maxEvents": 2})).json()
        assert (len(first["sets"]), first["moreAvailable"]) == (2, True)
        one, two = first["sets"]
        assert verified(first["sets"][one])["jti"] == one
        errors = {two: {"err": "invalid_key", "description": "?"}}
        rest = (await client.post(path, json=now | {"ack": [one], "setErrs": errors})).json()
        assert (len(rest["sets"]), rest["moreAvailable"]) == (1, False)
        again = (await client.post(path, json=now)).json()
        assert again["sets"].keys() == rest["sets"].keys()
        nothing = (await client.post(path, json=now | {"maxEvents": 0, "ack": list(rest["sets"])})).json()
        assert nothing == {"sets": {}, "moreAvailable": False}
        assert world.store.oldest() == {}

    acting(world, act)


def test_a_long_poll_is_answered_when_something_happens(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = (await client.post("/ssf/stream", json={})).json()["stream_id"]
        poll = asyncio.create_task(client.post(f"/ssf/poll/{stream_id}", json={}))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not poll.done()
        await world.transmitter.emit([world.revoked(1)])
        async with asyncio.timeout(10):
            assert len((await poll).json()["sets"]) == 1

    acting(world, act)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"delivery":{"method":7}}', b'{"delivery":{"method":"fax"}}']
)
def test_a_malformed_request_is_refused(world: World, body: bytes) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        assert (await client.post("/ssf/stream", content=body)).status_code == 400

    acting(world, act)


def test_the_pusher_follows_streams_as_they_come_and_go(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        task = asyncio.create_task(world.pusher.run())
        try:
            await world.push_stream(client)
            world.transmitter.wake()
            await world.transmitter.emit([world.revoked(1)])
            async with asyncio.timeout(10):
                while not world.receiver.sets:  # noqa: ASYNC110 - the receiver is another process's business
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    acting(world, act)
