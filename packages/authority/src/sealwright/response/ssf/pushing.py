"""Pushes what waits in the outbox (RFC 8935): all streams side by side, and within one its subjects.

A receiver that is away holds up nobody but itself: its SETs wait, keep their `jti`, and go out in order when
it is back. Order holds for each subject: the next SET about it leaves when the one before was taken.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.response.ssf.model import PUSH, Status, Stream, Waiting
from sealwright.response.ssf.ports import Line, SetSigner, StreamStore
from sealwright.response.ssf.rules import subject_key
from sealwright.response.ssf.service import Transmitter

AT_ONCE = 50
"""SETs of one stream that are taken from the outbox at a time."""
LANES = 4
"""SETs of one stream that are on their way at a time, each about another subject."""
FIRST_RETRY, LONGEST_RETRY = 0.25, 60.0
LOOK_SECONDS = 1.0
MENDABLE = frozenset({"invalid_key", "authentication_failed", "access_denied"})
"""What a receiver may answer until it has fetched our keys anew, or its secrets are what they were."""
MENDS_WITHIN = 600.0
"""Seconds from the event for which such an answer is taken for an outage."""
_chance = random.SystemRandom()


Waited = Callable[[str, float], Awaitable[None]]
"""Is told, for each stream with something unacknowledged, since when (unix seconds) the oldest waits."""
GivenUp = Callable[[str, str, str], Awaitable[None]]
"""Is told of a SET that a receiver will never take: the stream, its `jti`, the receiver's `err`."""


class PushMetrics:
    """Figures of the transmitter, on a registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pushed = Counter("sealwright_ssf_pushed", "SETs acknowledged by receivers.", registry=registry)
        self.refused = Counter(
            "sealwright_ssf_refused", "SETs that receivers will never take.", registry=registry
        )
        self.age = Gauge(
            "sealwright_ssf_unacknowledged_seconds",
            "Age of the oldest SET that no receiver has acknowledged.",
            registry=registry,
        )


class Acknowledgements:
    """What receivers have taken, written for all together: while one transaction is under way the next
    ones gather. Fifty receivers that answer at once must not keep the ledger from its own commits.
    """

    def __init__(self, store: StreamStore) -> None:
        self._store = store
        self._gathered: dict[str, list[str]] = {}
        self._writing = asyncio.Lock()

    async def keep(self, stream_id: str, jtis: Collection[str]) -> None:
        """Durable when this returns. Raises `Unavailable`; the next attempt then has these too."""
        self._gather({stream_id: jtis})
        async with self._writing:
            batch, self._gathered = self._gathered, {}
            if not batch:  # whoever wrote before took these along
                return
            try:
                await asyncio.to_thread(self._store.acknowledge, batch)
            except Unavailable:
                self._gather(batch)
                raise

    def _gather(self, taken: Mapping[str, Collection[str]]) -> None:
        for stream_id, jtis in taken.items():
            self._gathered.setdefault(stream_id, []).extend(jtis)


@dataclass(slots=True)
class _Trip:
    """What came of pushing one page."""

    gate: asyncio.Semaphore
    taken: list[str] = field(default_factory=list)
    away: Unavailable | None = None


class Pusher:
    """One task for each push stream, started and ended as streams come and go."""

    def __init__(
        self,
        transmitter: Transmitter,
        store: StreamStore,
        signer: SetSigner,
        line: Line,
        clock: Clock,
        metrics: PushMetrics,
        waited: Waited | None = None,
        given_up: GivenUp | None = None,
    ) -> None:
        self._waited = waited
        self._given_up = given_up
        self._transmitter = transmitter
        self._store = store
        self._signer = signer
        self._line = line
        self._clock = clock
        self._metrics = metrics
        self._acknowledgements = Acknowledgements(store)

    async def run(self) -> None:
        """Push until cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                try:
                    await self._look(tasks)
                except Unavailable:
                    await asyncio.sleep(FIRST_RETRY)
                    continue
                await self._transmitter.woken(LOOK_SECONDS)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _look(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        """One task for each stream that is to be pushed to, and how long the oldest event waits."""
        streams = await asyncio.to_thread(self._store.streams)
        wanted = {s.stream_id for s in streams if s.delivery.method == PUSH and s.status is Status.ENABLED}
        for stream_id in tasks.keys() - wanted:
            tasks.pop(stream_id).cancel()
        for stream_id in wanted - tasks.keys():
            tasks[stream_id] = asyncio.create_task(self._follow(stream_id))
        for task in tasks.values():
            if task.done():
                task.result()  # an error that nobody foresaw must end the process, not one stream
        await self.measure({s.stream_id for s in streams if s.status is Status.ENABLED})

    async def drain(self, stream_id: str) -> int:
        """Push what waits for one stream, in order; returns how many were acknowledged.

        Raises:
            Unavailable: the receiver is away; what it did not take stays in the outbox.
        """
        done, more = 0, True
        while more:
            stream, page = await asyncio.to_thread(self._page, stream_id)
            if stream is None or stream.status is not Status.ENABLED or not page:
                break
            more = len(page) == AT_ONCE
            done += await self._push_page(stream, page)
        return done

    async def _push_page(self, stream: Stream, page: list[tuple[Waiting, str]]) -> int:
        """Push a page, subject by subject side by side; what was taken is kept whatever becomes of the
        rest.
        """
        trip = _Trip(asyncio.Semaphore(LANES))
        try:
            async with asyncio.TaskGroup() as lanes:
                for lane in by_subject(page):
                    lanes.create_task(self._push_lane(stream, lane, trip))
        finally:
            if trip.taken:
                await self._acknowledgements.keep(stream.stream_id, trip.taken)
                self._metrics.pushed.inc(len(trip.taken))
        if trip.away is not None:
            raise trip.away
        return len(trip.taken)

    async def _push_lane(self, stream: Stream, lane: list[tuple[Waiting, str]], trip: _Trip) -> None:
        """One subject's SETs in order. Where the receiver is away all lanes stop, each at its place."""
        async with trip.gate:
            for one, signed in lane:
                if trip.away is not None:
                    return
                try:
                    trip.taken += [one.jti] if await self._push(stream, one, signed) else []
                except Unavailable as error:
                    trip.away = error

    def _page(self, stream_id: str) -> tuple[Stream | None, list[tuple[Waiting, str]]]:
        """What waits for a stream, signed. In one go in a thread: fifty streams are revoked to at once, and
        their signatures must not keep the event loop from issuing.
        """
        waiting = self._store.waiting(stream_id, AT_ONCE)
        stream = self._store.stream(stream_id) if waiting else None
        return stream, [(one, self._signer.sign(one.claims)) for one in waiting]

    async def _push(self, stream: Stream, one: Waiting, signed: str) -> bool:
        """Whether the receiver took it; one that it will never take is set aside."""
        try:
            await self._line.push(stream, signed)
        except Refused as error:
            if error.code in MENDABLE and self._clock.now() - one.queued_at < MENDS_WITHIN:
                raise Unavailable("receiver_unavailable", "The receiver cannot check it now.") from error
            await asyncio.to_thread(self._store.reject, stream.stream_id, {one.jti: error.code})
            self._metrics.refused.inc()
            if self._given_up is not None:
                await self._given_up(stream.stream_id, one.jti, error.code)
            return False
        return True

    async def _follow(self, stream_id: str) -> None:
        retry = FIRST_RETRY
        try:
            while True:
                try:
                    await self.drain(stream_id)
                    retry = FIRST_RETRY
                    await self._transmitter.woken(LOOK_SECONDS)
                except Unavailable:
                    await asyncio.sleep(retry * _chance.uniform(0.5, 1.0))
                    retry = min(retry * 2, LONGEST_RETRY)
        finally:
            await self._line.hang_up(stream_id)

    async def measure(self, enabled: set[str]) -> None:
        """Of enabled streams: what a receiver has paused waits by its own wish."""
        waits: Mapping[str, float] = await asyncio.to_thread(self._store.oldest)
        oldest = {stream_id: at for stream_id, at in waits.items() if stream_id in enabled}
        self._metrics.age.set(max((self._clock.now() - at for at in oldest.values()), default=0.0))
        for stream_id, at in oldest.items():
            if self._waited is not None:
                await self._waited(stream_id, at)


def by_subject(page: Iterable[tuple[Waiting, str]]) -> list[list[tuple[Waiting, str]]]:
    """A page's SETs by what they are about, each subject's in the order of the outbox."""
    lanes: dict[str, list[tuple[Waiting, str]]] = {}
    for one in page:
        lanes.setdefault(subject_key(one[0].claims["sub_id"]), []).append(one)
    return list(lanes.values())
