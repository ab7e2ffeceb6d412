"""Pushes what waits in the outbox (RFC 8935): each stream in its own order, all streams side by side.

A receiver that is away holds up nobody but itself: its SETs wait, keep their `jti`, and go out in order when
it is back. Order holds for a whole stream, and so for each subject.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.response.ssf.model import PUSH, Status, Stream, Waiting
from sealwright.response.ssf.ports import Line, SetSigner, StreamStore
from sealwright.response.ssf.service import Transmitter

AT_ONCE = 50
"""SETs of one stream that are taken from the outbox at a time."""
FIRST_RETRY, LONGEST_RETRY = 0.25, 60.0
LOOK_SECONDS = 1.0
PUSH_SECONDS = 10.0
TAKEN, REFUSED = 202, 400
_chance = random.SystemRandom()


Waited = Callable[[str, float], Awaitable[None]]
"""Is told, for each stream with something unacknowledged, since when (unix seconds) the oldest waits."""


class HttpLine:
    """`Line` over HTTP with kept-alive connections. Redirects are not followed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def push(self, stream: Stream, signed: str) -> None:
        """See the port."""
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if stream.delivery.authorization_header:
            headers["Authorization"] = stream.delivery.authorization_header
        try:
            answer = await self._client.post(
                stream.delivery.endpoint_url or "",
                content=signed,
                headers=headers,
                timeout=PUSH_SECONDS,
                follow_redirects=False,
            )
        except httpx.HTTPError as error:
            raise Unavailable("receiver_unavailable", "The receiver does not answer.", str(error)) from error
        if answer.status_code == REFUSED:
            raise Refused(_error_of(answer), "The receiver refused a SET.")
        if answer.status_code != TAKEN:
            raise Unavailable(
                "receiver_unavailable", "The receiver did not take it.", str(answer.status_code)
            )


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
    ) -> None:
        self._waited = waited
        self._transmitter = transmitter
        self._store = store
        self._signer = signer
        self._line = line
        self._clock = clock
        self._metrics = metrics

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
            taken: list[str] = []
            try:
                for one, signed in page:
                    taken += [one.jti] if await self._push(stream, one, signed) else []
            finally:
                if taken:
                    await asyncio.to_thread(self._store.acknowledge, stream_id, taken)
                    self._metrics.pushed.inc(len(taken))
                    done += len(taken)
        return done

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
            await asyncio.to_thread(self._store.reject, stream.stream_id, {one.jti: error.code})
            self._metrics.refused.inc()
            return False
        return True

    async def _follow(self, stream_id: str) -> None:
        retry = FIRST_RETRY
        while True:
            try:
                await self.drain(stream_id)
                retry = FIRST_RETRY
                await self._transmitter.woken(LOOK_SECONDS)
            except Unavailable:
                await asyncio.sleep(retry * _chance.uniform(0.5, 1.0))
                retry = min(retry * 2, LONGEST_RETRY)

    async def measure(self, enabled: set[str]) -> None:
        """Of enabled streams: what a receiver has paused waits by its own wish."""
        waits: Mapping[str, float] = await asyncio.to_thread(self._store.oldest)
        oldest = {stream_id: at for stream_id, at in waits.items() if stream_id in enabled}
        self._metrics.age.set(max((self._clock.now() - at for at in oldest.values()), default=0.0))
        for stream_id, at in oldest.items():
            if self._waited is not None:
                await self._waited(stream_id, at)


def _error_of(answer: httpx.Response) -> str:
    """The receiver's `err` (RFC 8935 section 2.4), or `invalid_request` where it says none."""
    try:
        said = answer.json()
    except ValueError:
        return "invalid_request"
    err = said.get("err") if isinstance(said, dict) else None
    return err[:64] if isinstance(err, str) and err else "invalid_request"
