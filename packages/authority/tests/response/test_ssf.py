"""The transmitter as a receiver meets it: streams, verification and polling, by a client of our own."""

import asyncio
import base64

import httpx
import pytest

from authority_support.signals import BASE, World, acting, verified


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


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"events_supported": []},
        {"events_delivered": ["urn:other"]},
        {"min_verification_interval": 0},
    ],
)
def test_what_is_the_transmitters_to_say_may_be_repeated_and_not_changed(
    world: World, changed: dict[str, object]
) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        await world.push_stream(client)
        [stream] = (await client.get("/ssf/stream")).json()
        repeated = {**stream, "delivery": {**stream["delivery"], "authorization_header": "Bearer for-push"}}
        for method in ("PATCH", "PUT"):
            again = await client.request(method, "/ssf/stream", json=repeated)
            assert (again.status_code, again.json()) == (200, stream)
            refused = await client.request(method, "/ssf/stream", json=repeated | changed)
            assert (refused.status_code, refused.json()["err"]) == (400, "invalid_request")
        assert (await client.get("/ssf/stream")).json() == [stream]

    acting(world, act)


def test_what_is_delivered_is_what_is_supported_and_was_requested(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        await world.push_stream(client)
        [stream] = (await client.get("/ssf/stream")).json()
        both = set(stream["events_supported"]) & set(stream["events_requested"])
        assert set(stream["events_delivered"]) == both

    acting(world, act)


def test_a_pushed_stream_does_not_become_a_polled_one_unasked(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        one = {"stream_id": await world.push_stream(client)}
        before = (await client.get("/ssf/stream", params=one)).json()
        assert (await client.put("/ssf/stream", json=one)).status_code == 400
        assert (await client.get("/ssf/stream", params=one)).json() == before

    acting(world, act)
