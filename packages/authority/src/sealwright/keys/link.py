"""One connection to one signer, as the rest of the authority sees it.

Every operation that appends to the log returns only after its batch is durable, and is acknowledged to the
signer after that. This module may never hand out a token before its commit.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from sealwright.errors import Refused, Unavailable
from sealwright.ledger.model import TOKEN_LEAF, Batch
from sealwright.ledger.service import LogWriter
from sealwright_signer.client import Batch as SignerBatch
from sealwright_signer.client import Connection, Hello, SignerGone, SignerRefused

log = logging.getLogger(__name__)

ACK_LEAVES = 512
ACK_SECONDS = 0.05
"""The signer is told of durable leaves in steps: as many leaves, or so many seconds after the first."""

_TIMES = struct.Struct(">QQ")
_TIMES_AT = 66
"""Offset of `iat` and `exp` in a token leaf (docs/formats/ledger.md)."""

Unrecorded = Callable[[str, int, int], Awaitable[object]]
"""(log id, first leaf, end): returns when it is durable."""

T = TypeVar("T")
SignOutcome = tuple[str, int] | dict[str, str]
"""(token, seconds that it lives), or {"refused": code, "message": text}."""


async def _told(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except SignerGone as error:
        raise Unavailable("signer_gone", "the signer went away", str(error)) from error
    except SignerRefused as error:
        if error.code == "custody_unavailable":
            raise Unavailable("custody_unavailable", "the keys cannot be used now", error.message) from error
        raise Refused(error.code, "the signer refused", error.message) from error


class SignerLink:
    """A live, admitted incarnation."""

    def __init__(self, connection: Connection, hello: Hello, writer: LogWriter) -> None:
        self._connection = connection
        self._writer = writer
        self.hello = hello
        self._acked = hello.acked
        self._timer: asyncio.TimerHandle | None = None
        self._acknowledging: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, connection: Connection, open_log: Callable[[Hello], LogWriter], unrecorded: Unrecorded
    ) -> SignerLink:
        """Introduce ourselves, store what the signer still holds, acknowledge it.

        Args:
            connection: to a signer that was admitted.
            open_log: gives the writer of the log that it names; may refuse.
            unrecorded: writes down that leaves of tokens which never left come without private records.

        Raises:
            Unavailable: the signer went away.
        """
        hello = await _told(connection.hello())
        link = cls(connection, hello, open_log(hello))
        for batch in hello.pending:
            first = max(batch.first, link._writer.size)
            if any(leaf.startswith(TOKEN_LEAF) for leaf in batch.leaves[first - batch.first :]):
                await unrecorded(link.log_id, first, batch.first + len(batch.leaves))
            await link._commit(batch)
        return link

    @property
    def log_id(self) -> str:
        """Its log."""
        return self.hello.log_id

    async def closed(self) -> None:
        """Return when the connection has ended."""
        await self._connection.wait_gone()

    async def close(self) -> None:
        """End the connection."""
        if self._timer is not None:
            self._timer.cancel()
        await self._connection.close()

    async def _commit(self, batch: SignerBatch, records: Sequence[bytes | None] = ()) -> None:
        try:
            await self._writer.commit(Batch(batch.first, batch.leaves, batch.checkpoint), records)
        except Unavailable:
            # The signer still holds these leaves: it offers them on each next connection, until they fit.
            await self.close()
            raise
        if self._writer.size - self._acked >= ACK_LEAVES:
            self._start_acknowledging()
        elif self._timer is None and self._writer.size > self._acked:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(ACK_SECONDS, self._start_acknowledging)

    def _start_acknowledging(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._acked = self._writer.size
        loop = asyncio.get_running_loop()
        self._acknowledging = loop.create_task(self._acknowledge(self._acked))  # kept: tasks are held weakly

    async def _acknowledge(self, size: int) -> None:
        try:
            await self._connection.ack(size)
        except (SignerGone, SignerRefused) as error:
            # Harmless: the signer offers the leaves again, and they are found to be stored.
            log.info("not acknowledged", extra={"facts": {"log_id": self.log_id, "error": str(error)}})

    async def make_key(
        self, realm: str, algorithm: str, use_from: int, use_until: int, verify_until: int
    ) -> tuple[str, int]:
        """Make a key; returns its announcement (JWS) and the index of the announcing leaf."""
        made = await _told(self._connection.make_key(realm, algorithm, use_from, use_until, verify_until))
        await self._commit(made.batch)
        return made.announcement, made.ledger_index

    async def activate(self, kid: str) -> None:
        """Let the key sign, and destroy the private half of the one before."""
        await self._commit(await _told(self._connection.activate(kid)))

    async def destroy(self, kid: str, reason: str) -> None:
        """Destroy the private half. Returns when it is gone."""
        await self._commit(await _told(self._connection.destroy(kid, reason)))

    async def manifest(self, fields: Mapping[str, Any]) -> str:
        """Sign a manifest (JWS)."""
        document, batch = await _told(self._connection.manifest(**fields))
        await self._commit(batch)
        return document

    async def statement(self, kind: str, digest: str) -> int:
        """Append a statement leaf; returns its index."""
        batch = await _told(self._connection.statement(kind, digest))
        await self._commit(batch)
        return batch.first + len(batch.leaves) - 1

    async def stats(self) -> dict[str, Any]:
        """The signer's counters since its start."""
        return await _told(self._connection.stats())

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> list[SignOutcome]:
        """Sign a batch; returns only after its leaves and records are durable.

        Args:
            requests: typed fields (docs/formats/signer-protocol.md).
            records: the private record of each.
            answered: called when the signer is free for the next batch, before this one is durable.

        Raises:
            Unavailable: the signer went away; nothing of the batch may leave.
            Refused: the batch as a whole was refused, or its commit.
        """
        try:
            results, batch = await _told(self._connection.sign(requests))
        finally:
            answered()
        if batch is None:
            return [result for result in results if isinstance(result, dict)]
        kept: list[bytes | None] = [
            record for record, result in zip(records, results, strict=True) if isinstance(result, str)
        ]
        # Leaves that the signer added by itself (a key reached its end) come before those of this call.
        before = len(batch.leaves) - len(kept)
        await self._commit(batch, [None] * before + kept)
        leaves = iter(batch.leaves[before:])
        return [
            (result, _lifetime(next(leaves))) if isinstance(result, str) else result for result in results
        ]


def _lifetime(leaf: bytes) -> int:
    iat, exp = _TIMES.unpack_from(leaf, _TIMES_AT)
    lifetime: int = exp - iat
    return lifetime
