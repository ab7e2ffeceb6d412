"""Takes batches in, makes them durable in groups, answers "was this issued?".

A batch is checked against the signer's own checkpoint before it is stored: same origin, valid signature, the
root that its leaves give, directly behind the last one. What fails is refused and the log stops; nothing is
ever rewritten.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from sealwright.clock import Clock
from sealwright.errors import Misconfigured, Refused
from sealwright.ledger.merkle import Frontier
from sealwright.ledger.model import Batch, Entry, Log, Place, TokenLeaf, parse_leaf
from sealwright.ledger.note import Checkpoint, open_checkpoint, parse_checkpoint, parse_vkey
from sealwright.ledger.ports import LedgerStore

log = logging.getLogger(__name__)

_JTI = re.compile(r"([a-z2-7]{16})\.(0|[1-9][0-9]{0,14})\.([A-Za-z0-9_-]{12})")

SMALL = 4
VERIFY_WITHIN = 256
"""Leaves in a batch up to which its checkpoint's signature is verified; leaves between two verifications."""


def parse_place(jti: str) -> Place | None:
    """The place that a `jti` claims, or None when it has no such form (docs/formats/token.md)."""
    match = _JTI.fullmatch(jti)
    return Place(match[1], int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Standing:
    """Answer to "was this token issued?". `reason` is None when it was."""

    reason: str | None
    place: Place | None
    size: int


@dataclass(slots=True)
class _Pending:
    batch: Batch
    records: Sequence[bytes | None]
    done: asyncio.Future[None]


class LogWriter:
    """The one writer of one log. Batches may arrive in any order; they are stored in the log's order."""

    def __init__(
        self, store: LedgerStore, log: Log, on_commit: Callable[[str], None], threads: ThreadPoolExecutor
    ) -> None:
        self._threads = threads
        self._store = store
        self._log = log
        self._verifier = parse_vkey(log.vkey)
        self._frontier = Frontier(log.size, store.frontier(log.log_id))
        self._waiting: dict[int, _Pending] = {}
        self._committing = False
        self._failure: Exception | None = None
        self._on_commit = on_commit
        self._verified = log.size

    @property
    def size(self) -> int:
        """Number of durable leaves."""
        return self._log.size

    async def commit(self, batch: Batch, records: Sequence[bytes | None] = ()) -> None:
        """Make a batch durable; returns when it is. Batches that wait together share one commit.

        Args:
            batch: what the signer returned.
            records: the private record of each leaf, or empty where there are none.

        Raises:
            Refused: `ledger_gap`, `root_mismatch`, `checkpoint_signature`, `head_moved`. The log is unusable
            then.
            Unavailable: the store cannot be written now. This writer takes no more: what was written and what
            was not is for the next one to read, to which the signer offers everything again.
        """
        if self._failure is not None:
            raise self._failure
        if batch.end <= self._log.size:
            return  # offered again after a reconnect, and stored already
        if batch.first < self._log.size:
            batch, records = self._behind_head(batch, records)
        done = asyncio.get_running_loop().create_future()
        self._waiting[batch.first] = _Pending(batch, records, done)
        if not self._committing:
            self._committing = True
            asyncio.get_running_loop().call_soon(self._start)
        await done

    def _behind_head(
        self, batch: Batch, records: Sequence[bytes | None]
    ) -> tuple[Batch, Sequence[bytes | None]]:
        """The part of a batch that is not stored yet. The root check still covers what is left out."""
        stored = self._log.size - batch.first
        return Batch(self._log.size, batch.leaves[stored:], batch.checkpoint), records[stored:]

    def _start(self) -> None:
        ready, size = [], self._log.size
        while size in self._waiting:
            pending = self._waiting.pop(size)
            ready.append(pending)
            size = pending.batch.end
        if not ready:
            self._committing = False
            return
        stored = self._threads.submit(self._store_group, ready)
        stored.add_done_callback(partial(self._stored, asyncio.get_running_loop(), ready))

    def _stored(
        self, loop: asyncio.AbstractEventLoop, group: Sequence[_Pending], stored: Future[tuple[Log, Frontier]]
    ) -> None:
        """Tell the loop; called in the thread that stored."""
        try:
            loop.call_soon_threadsafe(self._finish, group, stored)
        except RuntimeError:  # the loop was closed: nobody waits, and what is durable stays so
            log.info("a commit ended after its loop", extra={"facts": {"log_id": self._log.log_id}})

    def _store_group(self, group: Sequence[_Pending]) -> tuple[Log, Frontier]:
        frontier = self._frontier.copy()
        entries: list[Entry] = []
        for pending in group:
            batch = pending.batch
            frontier.extend(batch.leaves)
            records = pending.records or [None] * len(batch.leaves)
            entries.extend(map(Entry, range(batch.first, batch.end), batch.leaves, records))
        # One check for the group: the last head commits to every leaf before it.
        last = group[-1].batch
        checkpoint = self._opened(last)
        if (checkpoint.size, checkpoint.root) != (last.end, frontier.root()):
            raise Refused("root_mismatch", "the signed tree head does not cover the leaves", self._log.log_id)
        log = Log(
            self._log.log_id,
            self._log.origin,
            self._log.vkey,
            frontier.size,
            last.checkpoint,
            self._log.closed_at,
        )
        self._store.append(self._log.size, entries, log, frontier.nodes)
        return log, frontier

    def _opened(self, batch: Batch) -> Checkpoint:
        """The head of a batch. Its root is always compared; its signature, which the signer itself verified
        before it answered, for every small batch and at the latest after `VERIFY_WITHIN` leaves.
        """
        if len(batch.leaves) > SMALL and batch.end - self._verified <= VERIFY_WITHIN:
            return parse_checkpoint(batch.checkpoint, self._verifier)
        checkpoint = open_checkpoint(batch.checkpoint, self._verifier)
        self._verified = batch.end
        return checkpoint

    def _finish(self, group: Sequence[_Pending], stored: Future[tuple[Log, Frontier]]) -> None:
        failure = stored.exception()
        if failure is None:
            self._log, self._frontier = stored.result()
            for pending in group:
                if not pending.done.done():
                    pending.done.set_result(None)
            self._on_commit(self._log.log_id)
            self._start()
            return
        self._failure = failure if isinstance(failure, Exception) else RuntimeError(repr(failure))
        for pending in [*group, *self._waiting.values()]:
            if not pending.done.done():
                pending.done.set_exception(self._failure)
        self._waiting.clear()


class Ledger:
    """All logs."""

    def __init__(self, store: LedgerStore, clock: Clock, on_commit: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_commit = on_commit
        self._threads = ThreadPoolExecutor(thread_name_prefix="commit")

    def open_log(self, log_id: str, origin: str, vkey: str, acked: int) -> LogWriter:
        """Open the log of a signer that just connected.

        Args:
            log_id: the signer's log.
            origin: its checkpoint origin.
            vkey: its verifier key.
            acked: leaves that the signer was told are durable and so no longer holds.

        Raises:
            Misconfigured: `ledger_gap` when the store has fewer than that: a lost or restored database.
        """
        now = int(self._clock.now())
        self._store.add_log(Log(log_id, origin, vkey, 0, "", None), now)
        log = self._store.log(log_id)
        if log is None or log.vkey != vkey:
            raise Misconfigured("log_key_changed", "the stored log has another key", log_id)
        if log.size < acked:
            raise Misconfigured(
                "ledger_gap",
                f"the ledger has {log.size} leaves of log {log_id}, its signer was told of {acked}: "
                "the database was rolled back or lost leaves",
            )
        return LogWriter(self._store, log, self._on_commit, self._threads)

    def close_log(self, log_id: str) -> None:
        """Say that no leaf will follow in this log."""
        self._store.close_log(log_id, int(self._clock.now()))

    def lookup(self, log_id: str, index: int) -> TokenLeaf | None:
        """The token leaf at a place, or None when there is none (or it is not a token's)."""
        leaf = self._store.leaf(log_id, index)
        parsed = parse_leaf(leaf) if leaf is not None else None
        return parsed if isinstance(parsed, TokenLeaf) else None

    def size(self, log_id: str) -> int | None:
        """Number of durable leaves of a log, None for an unknown log."""
        log = self._store.log(log_id)
        return log.size if log else None

    def check(self, jti: str, digest: str, kid: str) -> Standing:
        """Whether a token with this place, digest (hex) and key id was issued."""
        place = parse_place(jti)
        size = self.size(place.log_id) if place else None
        if place is None or size is None:
            return Standing("unknown_place", None, 0)
        leaf = self.lookup(place.log_id, place.index)
        if leaf is None:
            return Standing("unknown_place", place, size)
        if leaf.digest.hex() != digest:
            return Standing("digest_mismatch", place, size)
        try:
            same_key = base64.urlsafe_b64decode(kid + "=") == leaf.kid
        except (binascii.Error, ValueError):
            same_key = False
        return Standing(None if same_key else "kid_mismatch", place, size)
