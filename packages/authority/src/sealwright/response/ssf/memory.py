"""The transmitter's ports in memory: for tests and rehearsals. Same contract as the real ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sealwright.errors import Refused, SealwrightError
from sealwright.ids import new_id
from sealwright.response.ssf.model import Event, Stream, Waiting


class MemoryStreamStore:
    """`StreamStore` in lists."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._waiting: list[Waiting] = []
        self._seq = 0

    def put_stream(self, stream: Stream) -> None:
        """See the port."""
        self._streams[stream.stream_id] = stream

    def stream(self, stream_id: str) -> Stream | None:
        """See the port."""
        return self._streams.get(stream_id)

    def streams(self) -> list[Stream]:
        """See the port."""
        return list(self._streams.values())

    def delete_stream(self, stream_id: str) -> None:
        """See the port."""
        self._streams.pop(stream_id, None)
        self._waiting = [one for one in self._waiting if one.stream_id != stream_id]

    def emit(self, events: Sequence[Event], issuer: str, now: float, only: str | None = None) -> int:
        """See the port."""
        before = self._seq
        for event in events:
            for stream in self._streams.values():
                if stream.wants(event) and only in {None, stream.stream_id}:
                    self._seq += 1
                    jti = new_id("set")
                    claims = event.addressed(stream, issuer, jti, now)
                    self._waiting.append(
                        Waiting(
                            seq=self._seq, stream_id=stream.stream_id, jti=jti, queued_at=now, claims=claims
                        )
                    )
        return self._seq - before

    def waiting(self, stream_id: str, limit: int) -> list[Waiting]:
        """See the port."""
        return [one for one in self._waiting if one.stream_id == stream_id][:limit]

    def acknowledge(self, taken: Mapping[str, Collection[str]]) -> int:
        """See the port."""
        before = len(self._waiting)
        self._waiting = [one for one in self._waiting if one.jti not in taken.get(one.stream_id, ())]
        return before - len(self._waiting)

    def reject(self, stream_id: str, errors: Mapping[str, str]) -> int:
        """See the port."""
        return self.acknowledge({stream_id: errors.keys()})

    def oldest(self) -> dict[str, float]:
        """See the port."""
        found: dict[str, float] = {}
        for one in self._waiting:
            found[one.stream_id] = min(one.queued_at, found.get(one.stream_id, one.queued_at))
        return found


class MemoryReceivers:
    """`ReceiverAuth` on a dictionary from header to client and scopes."""

    def __init__(self, known: Mapping[str, tuple[str, frozenset[str]]]) -> None:
        self._known = dict(known)

    async def receiver(self, unverified_authorization: str | None, scope: str) -> str:
        """See the port."""
        found = self._known.get(unverified_authorization or "")
        if found is None:
            raise Refused("invalid_token", "The access token is not valid here.")
        if scope not in found[1]:
            raise Refused("insufficient_scope", f"The access token lacks the scope {scope}.")
        return found[0]


class MemoryLine:
    """`Line` into lists, one for each stream. `failure` is raised instead when set."""

    def __init__(self) -> None:
        self.failure: SealwrightError | None = None
        self.taken: dict[str, list[str]] = {}

    async def push(self, stream: Stream, signed: str) -> None:
        """See the port."""
        if self.failure is not None:
            raise self.failure
        self.taken.setdefault(stream.stream_id, []).append(signed)

    async def hang_up(self, stream_id: str) -> None:
        """Nothing is open here."""
