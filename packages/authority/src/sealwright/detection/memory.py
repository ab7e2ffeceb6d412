"""The ports of detection in memory: for tests, the generated world and rehearsals.

They keep the contract of the real ones (one suite runs on both) but forget everything with the process, so
the authority never uses them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sealwright.clock import Clock
from sealwright.detection.model import (
    Alarm,
    Kept,
    KeyFacts,
    LeafFacts,
    LedgerSight,
    Place,
    Receipt,
    Report,
    Seen,
    StoredAlarm,
    ValidatorStatus,
)
from sealwright.errors import Refused, Unavailable


class SteppedClock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        """Seconds since 1970, as set."""
        return self.time


class MemoryLedger:
    """`LedgerView` on dictionaries. `lag`: seconds by which what is seen trails the clock."""

    def __init__(self, clock: Clock, lag: float = 0.0) -> None:
        self._clock = clock
        self.lag = lag
        self.down = False
        self.leaves: dict[Place, LeafFacts] = {}
        self.sizes: dict[str, int] = {}

    def put(self, place: Place, leaf: LeafFacts) -> None:
        """Commit a leaf."""
        self.leaves[place] = leaf
        self.sizes[place.log_id] = max(self.sizes.get(place.log_id, 0), place.index + 1)

    def look(self, places: Collection[Place]) -> LedgerSight:
        """See the port."""
        if self.down:
            raise Unavailable("ledger_unavailable", "The ledger does not answer.")
        logs = {place.log_id for place in places}
        return LedgerSight(
            complete_until=self._clock.now() - self.lag,
            sizes={log: size for log, size in self.sizes.items() if log in logs},
            leaves={place: self.leaves[place] for place in places if place in self.leaves},
        )


class MemoryKeys:
    """`KeyView` on a dictionary."""

    def __init__(self, keys: Mapping[str, KeyFacts] | None = None) -> None:
        self.keys = dict(keys or {})

    def get(self, kid: str) -> KeyFacts | None:
        """See the port."""
        return self.keys.get(kid)


class MemoryObservationStore:
    """`ObservationStore` in dictionaries."""

    def __init__(self) -> None:
        self.down = False
        self._batches: dict[int, tuple[float, list[Seen]]] = {}
        self._judged: set[int] = set()
        self._known: set[tuple[str, str]] = set()
        self._validators: dict[tuple[str, str], ValidatorStatus] = {}
        self._number = 0

    def add(self, received_at: float, reports: Sequence[tuple[str, Report]]) -> Kept:
        """See the port."""
        self._require_up()
        self._number += 1
        new: list[Seen] = []
        receipts: list[Receipt] = []
        for reporter, report in reports:
            before = len(new)
            for one in report.observations:
                if (reporter, one.id) not in self._known:
                    self._known.add((reporter, one.id))
                    new.append(Seen(reporter, report.validator.instance, received_at, one))
            receipts.append(Receipt(len(new) - before, len(report.observations) - len(new) + before))
            status = ValidatorStatus(reporter, report.validator, received_at)
            self._validators[reporter, report.validator.instance] = status
        self._batches[self._number] = (received_at, new)
        return Kept(self._number, receipts, new)

    def batch(self, number: int) -> list[Seen]:
        """See the port."""
        self._require_up()
        return list(self._batches.get(number, (0.0, []))[1])

    def after(self, batch: int, limit: int) -> list[tuple[int, list[Seen]]]:
        """See the port."""
        self._require_up()
        found: list[tuple[int, list[Seen]]] = []
        for number in sorted(number for number in self._batches if number > batch):
            if number not in self._judged or len(found) >= limit:
                break
            found.append((number, self.batch(number)))
        return found

    def unjudged(self) -> list[tuple[int, float]]:
        """See the port."""
        self._require_up()
        return [(number, at) for number, (at, _) in self._batches.items() if number not in self._judged]

    def mark_judged(self, numbers: Collection[int]) -> None:
        """See the port."""
        self._require_up()
        self._judged.update(numbers)

    def validators(self) -> list[ValidatorStatus]:
        """See the port."""
        self._require_up()
        order = sorted(self._validators.items(), key=lambda item: (-item[1].heard_at, item[0]))
        return [status for _, status in order]

    def prune(self, before: float) -> int:
        """See the port."""
        self._require_up()
        old = [number for number in self._judged if self._batches.get(number, (before, []))[0] < before]
        gone = [seen for number in old for seen in self._batches.pop(number)[1]]
        self._known.difference_update((seen.reporter, seen.observation.id) for seen in gone)
        heard = {name: status for name, status in self._validators.items() if status.heard_at >= before}
        self._validators = heard
        return len(gone)

    def _require_up(self) -> None:
        if self.down:
            raise Unavailable("store_unavailable", "The store does not answer.")


class MemoryAlarmStore:
    """`AlarmStore` in a list."""

    def __init__(self) -> None:
        self.down = False
        self._alarms: list[StoredAlarm] = []

    def add(self, alarms: Sequence[Alarm]) -> list[StoredAlarm]:
        """See the port."""
        if self.down:
            raise Unavailable("store_unavailable", "The store does not answer.")
        known = {stored.alarm.id for stored in self._alarms}
        new: list[StoredAlarm] = []
        for alarm in alarms:
            if alarm.id not in known:
                known.add(alarm.id)
                new.append(StoredAlarm(len(self._alarms) + 1, alarm))
                self._alarms.append(new[-1])
        return new

    def page(self, after: int, limit: int) -> list[StoredAlarm]:
        """See the port."""
        return [stored for stored in self._alarms if stored.seq > after][:limit]


class MemoryCursors:
    """`CursorStore` in a dictionary."""

    def __init__(self) -> None:
        self._cursors: dict[str, int] = {}

    def cursor(self, reader: str) -> int:
        """See the port."""
        return self._cursors.get(reader, 0)

    def move(self, reader: str, seq: int) -> None:
        """See the port."""
        self._cursors[reader] = seq


class MemorySink:
    """`AlarmSink` into a list."""

    def __init__(self) -> None:
        self.down = False
        self.told: list[StoredAlarm] = []

    def tell(self, stored: StoredAlarm) -> None:
        """See the port."""
        if self.down:
            raise Unavailable("sink_unavailable", "The sink does not answer.")
        self.told.append(stored)


class MemoryReporters:
    """`ReporterAuth` on a dictionary from header to name."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)

    async def reporter(self, unverified_authorization: str | None) -> str:
        """See the port."""
        name = self._names.get(unverified_authorization or "")
        if name is None:
            raise Refused("reporter_unknown", "Report with the credentials of a registered reporter.")
        return name
