"""Keeps observations, judges them and raises the alarms. Blocking: runs in detection's one worker thread.

Order of things: durable (one commit for a whole group of reports), then judged, then the alarms stored, then
passed on. A crash in between judges a batch again, and the same alarm has the same id, so nothing is lost or
told twice by the store. Nothing here may run on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sealwright.clock import Clock
from sealwright.detection.keywatch import MOST, unknown_cached
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import (
    Alarm,
    Code,
    Facts,
    Kept,
    KeyFacts,
    LedgerSight,
    Planted,
    Report,
    Seen,
    Severity,
    StoredAlarm,
    ValidatorFacts,
)
from sealwright.detection.ports import (
    AlarmSink,
    AlarmStore,
    CanaryView,
    KeyView,
    LedgerView,
    ObservationStore,
)
from sealwright.detection.rules import alarm_of, canaries_in, is_judged, judge, place_of, state_alarm
from sealwright.errors import Unavailable

STALLED_AFTER = 30.0
"""Seconds that a durable batch may stay unjudged before that is an alarm of its own."""
TRUSTED_MAX = 1_000
"""Reports whose trusted keys are remembered while they cannot be looked up."""
RETESTS_AT_ONCE = 64
"""Unjudged batches that one tick takes up."""


class Judging:
    """The blocking half of the detector. Not for use by two threads at once."""

    def __init__(
        self,
        observations: ObservationStore,
        alarms: AlarmStore,
        ledger: LedgerView,
        keys: KeyView,
        clock: Clock,
        metrics: DetectionMetrics,
        sinks: Sequence[AlarmSink] = (),
        canaries: CanaryView | None = None,
    ) -> None:
        self._observations = observations
        self._alarms = alarms
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._metrics = metrics
        self._sinks = tuple(sinks)
        self._canaries = canaries
        self._open: dict[int, float] = {}
        self._marks: set[int] = set()
        self._trusted: list[tuple[str, ValidatorFacts]] = []
        self._ours: set[str] = set()

    def recover(self) -> None:
        """Take up what an earlier run kept but did not judge."""
        self._open.update(self._observations.unjudged())
        self._metrics.unjudged.set(len(self._open))

    def keep(self, reports: Sequence[tuple[str, Report]]) -> Kept:
        """Make reports durable. Raises `Unavailable` when nothing of them was kept."""
        now = self._clock.now()
        try:
            kept = self._observations.add(now, reports)
        except Unavailable:
            self._metrics.failed("store")
            raise
        self._open[kept.batch] = now
        told = [(reporter, report.validator) for reporter, report in reports if report.validator.keys]
        self._trusted = [*self._trusted, *told][-TRUSTED_MAX:]
        for seen in kept.new:
            self._metrics.observed(seen.observation)
        self._metrics.duplicated(sum(receipt.duplicates for receipt in kept.receipts))
        return kept

    def judge(self, batch: int, seen: Sequence[Seen]) -> list[StoredAlarm]:
        """Judge a batch; returns the alarms that are new. What cannot be judged now is taken up again by
        `tick`.
        """
        try:
            alarms, held = self._judged(seen)
            alarms += self._foreign()
            stored = self._alarms.add(alarms) if alarms else []
        except Unavailable:
            self._metrics.failed("judging")
            return []
        self._trusted = []
        if not held:
            self._open.pop(batch, None)
            self._marks.add(batch)
        received = {seen_one.observation.digest: seen_one.received_at for seen_one in seen}
        self._tell(stored, received)
        return stored

    def tick(self) -> list[StoredAlarm]:
        """Judge again what is still open, write the marks of what is done, and say so when judging stands
        still.
        """
        new: list[StoredAlarm] = []
        try:
            for batch in sorted(self._open)[:RETESTS_AT_ONCE]:
                new += self.judge(batch, self._observations.batch(batch))
            new += self._stalled()
            if self._marks:  # many in one commit; a mark that a crash loses only costs judging again
                self._observations.mark_judged(self._marks)
                self._marks = set()
        except Unavailable:
            self._metrics.failed("store")
        self._metrics.unjudged.set(len(self._open))
        return new

    def _judged(self, seen: Sequence[Seen]) -> tuple[list[Alarm], bool]:
        now = self._clock.now()
        alarms = {alarm.id: alarm for alarm in self._touched(seen, now)}
        relevant = [one for one in seen if is_judged(one.observation)]
        if not relevant:
            return list(alarms.values()), False
        places = {place for one in relevant if (place := place_of(one.observation.jti)) is not None}
        sight: LedgerSight = self._ledger.look(places)
        keys: dict[str, KeyFacts | None] = {}
        held = False
        for one in relevant:
            kid = one.observation.kid
            if kid is not None and kid not in keys:
                keys[kid] = self._keys.get(kid)
            judgement = judge(one, sight, keys[kid] if kid is not None else None)
            held = held or judgement.held
            for finding in judgement.findings:
                alarm = alarm_of(one, finding, now)
                alarms.setdefault(alarm.id, alarm)
        return list(alarms.values()), held

    def _foreign(self) -> Iterator[Alarm]:
        """Keys that validators say they trust and that were never ours; their next report may hide them."""
        now = self._clock.now()
        for reporter, validator in self._trusted:
            strange = [kid for kid in validator.keys if kid not in self._ours]
            for kid in strange[:MOST]:
                if self._keys.get(kid) is not None:
                    self._ours.add(kid)
                else:
                    yield unknown_cached(reporter, validator.name, kid, now)

    def _touched(self, seen: Sequence[Seen], now: float) -> Iterator[Alarm]:
        """Alarms about what was planted."""
        planted = self._canaries.planted() if self._canaries is not None and seen else Planted()
        if planted == Planted():
            return
        for one in seen:
            for finding in canaries_in(one.observation, planted):
                yield alarm_of(one, finding, now)

    def _stalled(self) -> list[StoredAlarm]:
        if not self._open:
            return []
        batch = min(self._open)
        now, since = self._clock.now(), self._open[batch]
        if now - since < STALLED_AFTER:
            return []
        facts: Facts = {"batch": batch, "unjudged_batches": len(self._open), "since": since}
        code, subject = Code.DETECTION_STALLED, f"batch {batch}"
        alarm = state_alarm(code, Severity.HIGH, subject, now, since, facts)
        stored = self._alarms.add([alarm])
        self._tell(stored, {"": now})
        return stored

    def _tell(self, stored: Sequence[StoredAlarm], received: dict[str, float]) -> None:
        now = self._clock.now()
        for one in stored:
            self._metrics.alarmed(one.alarm, now - received.get(one.alarm.digest, now))
            for sink in self._sinks:
                try:
                    sink.tell(one)
                except Unavailable:
                    self._metrics.failed("sink")
