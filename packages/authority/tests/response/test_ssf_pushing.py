"""Pushing: each subject in its order, all of them side by side; no outage of a receiver loses a SET."""

import asyncio
from collections.abc import Collection, Mapping

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from authority_support.signals import BASE, SIGNER, World, acting
from sealwright.errors import Unavailable
from sealwright.response.ssf.memory import MemoryLine, MemoryStreamStore
from sealwright.response.ssf.model import PUSH, Delivery, Status, Stream
from sealwright.response.ssf.pushing import MENDS_WITHIN, Acknowledgements, Pusher, PushMetrics
from sealwright.response.ssf.rules import claims_changed, client_disabled, key_revoked


def stream(name: str) -> Stream:
    delivery = Delivery(method=PUSH, endpoint_url="http://127.0.0.1:9/events")
    return Stream(stream_id=name, receiver=name, aud=name, delivery=delivery, events_requested=())


def told_of(world: World) -> dict[str, list[str]]:
    """For each token that the receiver was told of, the transactions in the order of their arrival."""
    told: dict[str, list[str]] = {}
    for claims in world.receiver.sets:
        told.setdefault(claims["sub_id"]["jti"], []).append(claims["txn"])
    return told


def test_pushed_events_arrive_signed_once_and_in_order_for_each_subject(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        for number in range(12):
            await world.transmitter.emit([world.revoked(number % 3, f"txn-{number}")])
        assert await world.pusher.drain(stream_id) == 12
        assert await world.pusher.drain(stream_id) == 0

    acting(world, act)
    assert told_of(world) == {f"jti-{n}": [f"txn-{m}" for m in range(n, 12, 3)] for n in range(3)}
    assert len({claims["jti"] for claims in world.receiver.sets}) == 12


def test_one_subject_waits_for_its_own_events_only(world: World) -> None:
    """The receiver keeps the first event about one token for itself: others pass it by, its next does not."""

    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        world.receiver.slow = "txn-first"
        for jti, txn in ((0, "txn-first"), (0, "txn-next"), (1, "txn-other"), (2, "txn-another")):
            await world.transmitter.emit([world.revoked(jti, txn)])
        pushing = asyncio.create_task(world.pusher.drain(stream_id))
        async with asyncio.timeout(60):
            while len(world.receiver.sets) < 2:  # noqa: ASYNC110 - the receiver is another's business
                await asyncio.sleep(0.01)
        assert sorted(told_of(world)) == ["jti-1", "jti-2"]
        world.receiver.go_on.set()
        assert await pushing == 4

    acting(world, act)
    assert told_of(world)["jti-0"] == ["txn-first", "txn-next"]


def test_ten_minutes_without_the_receiver_lose_nothing_and_keep_jti_and_order(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        world.receiver.down = True
        queued: list[str] = []
        for number in range(20):
            await world.transmitter.emit([world.revoked(number % 5, f"txn-{number}")])
            world.clock.time += 30  # ten minutes in all
            with pytest.raises(Unavailable):
                await world.pusher.drain(stream_id)
            queued = [waiting.jti for waiting in world.store.waiting(stream_id, 100)]
        assert world.clock.now() - world.store.oldest()[stream_id] == 600
        assert world.receiver.sets == []
        world.receiver.down = False
        assert await world.pusher.drain(stream_id) == 20
        assert sorted(claims["jti"] for claims in world.receiver.sets) == sorted(queued)
        assert world.store.oldest() == {}

    acting(world, act)
    assert told_of(world) == {f"jti-{n}": [f"txn-{m}" for m in range(n, 20, 5)] for n in range(5)}


def test_what_was_taken_before_the_receiver_went_away_is_not_sent_again(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        for number in range(6):
            await world.transmitter.emit([world.revoked(0, f"txn-{number}")])
        world.receiver.down_after = 2
        with pytest.raises(Unavailable):
            await world.pusher.drain(stream_id)
        world.receiver.down_after = None
        assert await world.pusher.drain(stream_id) == 4

    acting(world, act)
    assert told_of(world) == {"jti-0": [f"txn-{number}" for number in range(6)]}


def test_streams_that_are_answered_together_are_kept_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty receivers answer: the state is written a few times, not fifty."""
    writes: list[int] = []
    before = world.store.acknowledge

    def counted(taken: Mapping[str, Collection[str]]) -> int:
        writes.append(len(taken))
        return before(taken)

    async def act(_client: httpx.AsyncClient) -> None:
        streams = [f"stream-{number}" for number in range(50)]
        for name in streams:
            world.store.put_stream(stream(name))
        await world.transmitter.emit([world.revoked(1)])
        monkeypatch.setattr(world.store, "acknowledge", counted)
        keeping = Acknowledgements(world.store)
        waiting = {stream: [world.store.waiting(stream, 1)[0].jti] for stream in streams}
        await asyncio.gather(*(keeping.keep(stream, jtis) for stream, jtis in waiting.items()))
        assert world.store.oldest() == {}

    acting(world, act)
    assert sum(writes) == 50
    assert len(writes) <= 2


def test_an_acknowledgement_that_could_not_be_kept_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[dict[str, list[str]]] = []
    failures = [Unavailable("store_unavailable", "Not now.")]

    def moody(taken: Mapping[str, Collection[str]]) -> int:
        if failures:
            raise failures.pop()
        kept.append({stream: sorted(jtis) for stream, jtis in taken.items()})
        return len(taken)

    async def act() -> None:
        store = MemoryStreamStore()
        monkeypatch.setattr(store, "acknowledge", moody)
        keeping = Acknowledgements(store)
        with pytest.raises(Unavailable):
            await keeping.keep("one", ["a"])
        await keeping.keep("two", ["b"])

    asyncio.run(act())
    assert kept == [{"one": ["a"], "two": ["b"]}]


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


def test_a_receiver_is_told_before_we_stop_its_stream(world: World) -> None:
    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        await world.transmitter.withdraw(stream_id, Status.PAUSED, "maintenance")
        (waiting,) = world.store.waiting(stream_id, 10)
        (content,) = waiting.claims["events"].values()
        assert content == {"status": "paused", "reason": "maintenance"}

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


def test_every_kind_of_event_is_a_set_as_the_specifications_have_it(world: World) -> None:
    """The receiver checks each against the schema of its kind, and its signature."""
    issuer, now = BASE + "/enterprise", world.clock.now()

    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        events = [
            world.revoked(1),
            client_disabled(issuer, "app", now, "txn", "why"),
            claims_changed(issuer, "jti-2", {"scope": "mail.read"}, now, "txn", "why"),
            *key_revoked(issuer, "kid-1", now, "txn", "why"),
        ]
        await world.transmitter.emit(events)
        await client.post("/ssf/verify", json={"stream_id": stream_id, "state": "s"})
        await world.transmitter.withdraw(stream_id, Status.PAUSED, "maintenance")
        world.store.put_stream(replace(world.store.streams()[0], status=Status.ENABLED))
        assert await world.pusher.drain(stream_id) == 8

    acting(world, act)
    kinds = [kind.rpartition("/")[2] for claims in world.receiver.sets for kind in claims["events"]]
    assert sorted(kinds) == sorted(
        ["session-revoked"] * 3
        + ["token-claims-change", "credential-change", "credential-compromise"]
        + ["verification", "stream-updated"]
    )


@pytest.mark.parametrize("err", [None, "invalid_key", "authentication_failed"])
def test_an_answer_that_mends_itself_is_an_outage_and_not_the_end(world: World, err: str | None) -> None:
    """A proxy answers 400 without a reason; a receiver may not have the key yet that a restart has made."""
    given_up: list[str] = []

    async def give_up(_stream_id: str, jti: str, _err: str) -> None:
        given_up.append(jti)

    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        world.pusher = world.made_pusher(give_up)
        world.receiver.answers = {"err": err} if err else None
        world.receiver.refuse = True
        await world.transmitter.emit([world.revoked(1)])
        [waiting] = world.store.waiting(stream_id, 2)
        with pytest.raises(Unavailable):
            await world.pusher.drain(stream_id)
        world.receiver.refuse = False
        assert await world.pusher.drain(stream_id) == 1
        assert [claims["jti"] for claims in world.receiver.sets] == [waiting.jti]
        assert given_up == []

    acting(world, act)


def test_what_a_receiver_will_never_take_is_told_of(world: World) -> None:
    given_up: list[tuple[str, str]] = []

    async def give_up(_stream_id: str, jti: str, err: str) -> None:
        given_up.append((jti, err))

    async def act(client: httpx.AsyncClient) -> None:
        stream_id = await world.push_stream(client)
        world.pusher = world.made_pusher(give_up)
        world.receiver.refuse = True
        jtis = []
        for err in ("invalid_audience", "invalid_key"):
            world.receiver.answers = {"err": err}
            await world.transmitter.emit([world.revoked(1)])
            jtis += [waiting.jti for waiting in world.store.waiting(stream_id, 2)]
            world.clock.time += MENDS_WITHIN
            await world.pusher.drain(stream_id)
        assert given_up == [(jtis[0], "invalid_audience"), (jtis[1], "invalid_key")]

    acting(world, act)
