"""What the transmitter needs from outside. Stores are called in worker threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from sealwright.response.ssf.model import Event, Stream, Waiting


class StreamStore(Protocol):
    """Keeps streams and the outbox. A write is durable when it returns."""

    def put_stream(self, stream: Stream) -> None:
        """Keep a stream, or replace the one with its id."""
        ...

    def stream(self, stream_id: str) -> Stream | None:
        """One stream."""
        ...

    def streams(self) -> list[Stream]:
        """Every stream, oldest first."""
        ...

    def delete_stream(self, stream_id: str) -> None:
        """Forget a stream and what waits for it."""
        ...

    def emit(self, events: Sequence[Event], issuer: str, now: float, only: str | None = None) -> int:
        """Address events to every stream that wants them (or to one), all or none; returns how many SETs.

        Disabled streams get none; paused ones keep them for later.
        """
        ...

    def waiting(self, stream_id: str, limit: int) -> list[Waiting]:
        """The oldest SETs that the stream has not acknowledged, in order."""
        ...

    def acknowledge(self, taken: Mapping[str, Collection[str]]) -> int:
        """Receivers have these (`jti` by stream), in one transaction; returns how many there were. What a
        stream does not have is passed over.
        """
        ...

    def reject(self, stream_id: str, errors: Mapping[str, str]) -> int:
        """The receiver will never take these (`jti` to error); they are kept as failed. Returns how many."""
        ...

    def oldest(self) -> dict[str, float]:
        """For each stream with something waiting, when the oldest of it was queued (unix seconds)."""
        ...


class SetSigner(Protocol):
    """Signs SETs with a key of its own, RS256 (CAEP interoperability profile)."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The SET: a compact JWS with `typ` `secevent+jwt`."""
        ...

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        ...


class ReceiverAuth(Protocol):
    """Knows receivers by their access tokens."""

    async def receiver(self, unverified_authorization: str | None, scope: str) -> str:
        """The client that a bearer token with this scope proves.

        Raises:
            Refused: `insufficient_scope` when only the scope is missing, another code otherwise.
            Unavailable: nobody can say now.
        """
        ...


class Line(Protocol):
    """Pushes SETs to receivers."""

    async def push(self, stream: Stream, signed: str) -> None:
        """Hand one SET over (RFC 8935); returns when the receiver has taken it.

        Raises:
            Refused: the receiver will never take it; the code is the receiver's `err`.
            Unavailable: it may take it later.
        """
        ...

    async def hang_up(self, stream_id: str) -> None:
        """Nothing more goes to a stream: end what is kept open for it."""
        ...
