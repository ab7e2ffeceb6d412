"""The transmitter: streams as receivers manage them, events into the outbox, and polling out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.ids import new_id
from sealwright.response.ssf.model import (
    POLL,
    STREAM_UPDATED,
    VERIFICATION,
    Asked,
    Delivery,
    Event,
    Status,
    Stream,
)
from sealwright.response.ssf.ports import SetSigner, StreamStore
from sealwright.response.ssf.rules import (
    MIN_VERIFICATION_INTERVAL,
    is_loopback,
    require_deliverable,
    require_repeated,
)

STREAMS_PER_RECEIVER = 10
POLL_MAX = 100
LONG_POLL_SECONDS = 30.0

T = TypeVar("T")


class Transmitter:
    """For one event loop.

    Args:
        issuer: the transmitter's issuer identifier, `iss` of every SET.
        store: streams and outbox.
        signer: signs what is polled.
        clock: the time.
    """

    def __init__(self, issuer: str, store: StreamStore, signer: SetSigner, clock: Clock) -> None:
        self.issuer = issuer
        self._local = is_loopback(urlsplit(issuer).hostname or "")
        self._store = store
        self._signer = signer
        self._clock = clock
        self._woken = asyncio.Event()

    async def create(self, receiver: str, asked: Asked) -> Stream:
        """Make a stream.

        Raises:
            Refused: `invalid_delivery`, or `too_many_streams`.
        """
        delivery = asked.delivery or Delivery(method=POLL)
        require_deliverable(delivery, local=self._local)
        if len(await self.streams_of(receiver)) >= STREAMS_PER_RECEIVER:
            raise Refused("too_many_streams", "This receiver has too many streams.")
        stream = Stream(
            stream_id=new_id("stream"),
            receiver=receiver,
            aud=asked.aud or receiver,
            delivery=delivery,
            events_requested=asked.events_requested or (),
            description=asked.description or "",
        )
        await self._in_thread(lambda: self._store.put_stream(stream))
        return stream

    async def streams_of(self, receiver: str) -> list[Stream]:
        """A receiver's own streams."""
        streams = await self._in_thread(self._store.streams)
        return [stream for stream in streams if stream.receiver == receiver]

    async def stream(self, receiver: str, stream_id: str | None) -> Stream:
        """One of the receiver's streams. Raises `Refused` (`unknown_stream`), for those of others as well."""
        found = await self._in_thread(lambda: self._store.stream(stream_id)) if stream_id else None
        if found is None or found.receiver != receiver:
            raise Refused("unknown_stream", "There is no such stream.")
        return found

    async def change(self, receiver: str, asked: Asked, *, whole: bool) -> Stream:
        """Change a stream: PUT (`whole`) replaces what a receiver sets, PATCH what is named.

        Raises:
            Refused: `unknown_stream`, `invalid_delivery`, or `invalid_request`.
        """
        before = await self.stream(receiver, asked.stream_id)
        require_repeated(asked, before, self.issuer)
        if whole and asked.delivery is None and before.delivery.method != POLL:
            raise Refused("invalid_request", "A stream that is pushed is replaced with its delivery.")
        blank = Stream(
            stream_id="", receiver="", aud=receiver, delivery=Delivery(method=POLL), events_requested=()
        )
        base = blank if whole else before
        after = replace(
            before,
            delivery=base.delivery if asked.delivery is None else asked.delivery,
            events_requested=base.events_requested
            if asked.events_requested is None
            else asked.events_requested,
            description=base.description if asked.description is None else asked.description,
            aud=base.aud if asked.aud is None else asked.aud,
        )
        require_deliverable(after.delivery, local=self._local)
        await self._in_thread(lambda: self._store.put_stream(after))
        return after

    async def delete(self, receiver: str, stream_id: str | None) -> None:
        """End a stream at its receiver's wish."""
        stream = await self.stream(receiver, stream_id)
        await self._in_thread(lambda: self._store.delete_stream(stream.stream_id))

    async def set_status(self, receiver: str, stream_id: str | None, status: Status, reason: str) -> Stream:
        """Enable, pause or disable a stream at its receiver's wish."""
        stream = replace(await self.stream(receiver, stream_id), status=status, reason=reason)
        await self._in_thread(lambda: self._store.put_stream(stream))
        self.wake()
        return stream

    async def withdraw(self, stream_id: str, status: Status, reason: str) -> None:
        """Change a stream at our own wish: its receiver is told by stream-updated before anything stops."""
        stream = await self._in_thread(lambda: self._store.stream(stream_id))
        if stream is None:
            raise Refused("unknown_stream", "There is no such stream.")
        told = self._own_event(stream, STREAM_UPDATED, {"status": status.value, "reason": reason})
        await self._emit([told], stream_id)
        await self._in_thread(lambda: self._store.put_stream(replace(stream, status=status, reason=reason)))

    async def verify(self, receiver: str, stream_id: str | None, state: str | None) -> None:
        """Send a verification event. Raises `Unavailable` (`too_frequent`) before the interval has passed."""
        stream, now = await self.stream(receiver, stream_id), self._clock.now()
        if now < stream.verified_at + MIN_VERIFICATION_INTERVAL:
            raise Unavailable("too_frequent", "Verification is asked for too often.")
        await self._in_thread(lambda: self._store.put_stream(replace(stream, verified_at=now)))
        content = {"state": state} if state is not None else {}
        await self._emit([self._own_event(stream, VERIFICATION, content)], stream.stream_id)

    async def emit(self, events: Sequence[Event]) -> int:
        """Tell every stream that wants it. For events that no other transaction has put into the outbox."""
        return await self._emit(events, None)

    async def poll(
        self,
        receiver: str,
        stream_id: str,
        acks: Sequence[str],
        errors: Mapping[str, str],
        most: int,
        *,
        wait: bool,
    ) -> tuple[dict[str, str], bool]:
        """RFC 8936: take acknowledgements, give up to `most` SETs by `jti`, say if there are more."""
        stream = await self.stream(receiver, stream_id)
        await self._in_thread(lambda: self._store.acknowledge({stream_id: acks}))
        await self._in_thread(lambda: self._store.reject(stream_id, errors))
        most = max(0, min(most, POLL_MAX))
        if stream.status is not Status.ENABLED:
            return {}, False
        woken = self._woken
        found = await self._in_thread(lambda: self._store.waiting(stream_id, most + 1))
        if not found and wait and most:
            try:
                async with asyncio.timeout(LONG_POLL_SECONDS):
                    await woken.wait()
            except TimeoutError:
                return {}, False
            found = await self._in_thread(lambda: self._store.waiting(stream_id, most + 1))
        sets = {waiting.jti: self._signer.sign(waiting.claims) for waiting in found[:most]}
        return sets, len(found) > most

    def now(self) -> float:
        """The transmitter's time, unix seconds."""
        return self._clock.now()

    def wake(self) -> None:
        """There is something new in the outbox. Called on the event loop, after the transaction."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def woken(self, seconds: float) -> None:
        """Wait for `wake`, or for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _emit(self, events: Sequence[Event], only: str | None) -> int:
        now = self._clock.now()
        count = await self._in_thread(lambda: self._store.emit(events, self.issuer, now, only))
        self.wake()
        return count

    def _own_event(self, stream: Stream, kind: str, content: dict[str, str]) -> Event:
        subject = {"format": "opaque", "id": stream.stream_id}
        return Event(
            type=kind, sub_id=subject, at=self._clock.now(), txn=new_id("txn"), content=dict(content)
        )

    @staticmethod
    async def _in_thread(work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)
