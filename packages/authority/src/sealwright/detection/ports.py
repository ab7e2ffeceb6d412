"""What detection needs from outside, and what it gives away.

Implementations are called from detection's own worker thread, never from the event loop, except where a
method is async. They must be safe to call from a thread.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from sealwright.detection.model import (
    Alarm,
    Kept,
    KeyFacts,
    LedgerSight,
    Place,
    Planted,
    Receipt,
    Report,
    Seen,
    StoredAlarm,
    ValidatorStatus,
)


class LedgerView(Protocol):
    """Reads the ledger as it is committed."""

    def look(self, places: Collection[Place]) -> LedgerSight:
        """One consistent sight of these places and of the sizes of their logs.

        `complete_until` must be read from the clock *before* the leaves are; logs and places that do not
        exist are absent from the answer.

        Raises:
            Unavailable: the ledger cannot say now. What was asked about stays unjudged and is asked again.
        """
        ...


class KeyView(Protocol):
    """Reads the history of keys."""

    def get(self, kid: str) -> KeyFacts | None:
        """A key of any status, retired and revoked ones too; None where it was never ours.

        Raises:
            Unavailable: the key store cannot say now.
        """
        ...


class CanaryView(Protocol):
    """Reads what was planted."""

    def planted(self) -> Planted:
        """Every canary; may be half a second old.

        Raises:
            Unavailable: the store cannot say now.
        """
        ...


class ObservationStore(Protocol):
    """Keeps observations in batches: a batch is durable first and judged after: no crash loses one."""

    def add(self, received_at: float, reports: Sequence[tuple[str, Report]]) -> Kept:
        """Make the reports (with their reporters) durable as one batch in one commit, and say what was new of
        each.

        An id that the same reporter used before is a duplicate and changes nothing.

        Raises:
            Unavailable: nothing of it was kept.
        """
        ...

    def batch(self, number: int) -> list[Seen]:
        """What a batch keeps, in the order in which it arrived."""
        ...

    def after(self, batch: int, limit: int) -> list[tuple[int, list[Seen]]]:
        """Up to `limit` judged batches with a number above `batch`, oldest first.

        Stops before a batch that is not judged yet, so that a reader that remembers the last number misses
        none.
        """
        ...

    def unjudged(self) -> list[tuple[int, float]]:
        """Numbers and times of receipt (unix seconds) of the batches that are not judged, oldest first."""
        ...

    def mark_judged(self, numbers: Collection[int]) -> None:
        """Never judge these batches again. Idempotent."""
        ...

    def validators(self) -> list[ValidatorStatus]:
        """The last that was heard of every validator instance, newest first."""
        ...

    def prune(self, before: float) -> int:
        """Forget judged batches that were received before a time (unix seconds); returns how many went."""
        ...


class AlarmStore(Protocol):
    """Keeps alarms for ever, in the order in which they were raised."""

    def add(self, alarms: Sequence[Alarm]) -> list[StoredAlarm]:
        """Keep the alarms whose id is new, in one commit; returns only those.

        Raises:
            Unavailable: none was kept.
        """
        ...

    def page(self, after: int, limit: int) -> list[StoredAlarm]:
        """Up to `limit` alarms with a sequence number above `after`, in order."""
        ...


class CursorStore(Protocol):
    """Remembers how far each reader of the alarm feed has come."""

    def cursor(self, reader: str) -> int:
        """The sequence number of the last alarm that this reader is done with; 0 at first."""
        ...

    def move(self, reader: str, seq: int) -> None:
        """The reader is done with everything up to `seq`. Durable when this returns."""
        ...


class AlarmSink(Protocol):
    """Is told of every new alarm, once it is stored."""

    def tell(self, stored: StoredAlarm) -> None:
        """Pass the alarm on.

        Raises:
            Unavailable: it could not be passed on; the alarm itself is safe in the store.
        """
        ...


class Intake(Protocol):
    """Takes reports in: the detector itself, or a transport to wherever one is."""

    async def observe(self, reporter: str, report: Report) -> Receipt:
        """Keep a report. Returns once it is durable.

        Raises:
            Unavailable: it was not kept, or nobody can say; the same report may be sent again.
        """
        ...


class ReporterAuth(Protocol):
    """Knows who may report."""

    async def reporter(self, unverified_authorization: str | None) -> str:
        """The name of the reporter that an `Authorization` header proves.

        Raises:
            Refused: it proves none.
            Unavailable: nobody can say now.
        """
        ...
