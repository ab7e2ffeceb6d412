"""Watches the audit trail: an entry that was changed or removed is an alarm, at the start and every hour.

Whoever can write to the database could write a trail that is whole again, but not its digests in the ledger:
those are compared by `sealwright ledger fsck`. May never change an entry.
"""

from __future__ import annotations

import asyncio
import logging

from sealwright.admin.service import Auditor
from sealwright.clock import Clock
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Facts, Severity
from sealwright.detection.rules import state_alarm
from sealwright.errors import SealwrightError
from sealwright.store.detection import SqlAlarmStore

log = logging.getLogger(__name__)
BROKEN = "audit_trail_broken"
INTERVAL = 3_600
"""Seconds between two looks."""


class TrailWatch:
    """Looks at the whole trail again and again."""

    def __init__(
        self,
        auditor: Auditor,
        alarms: SqlAlarmStore,
        clock: Clock,
        feed: AlarmFeed,
        metrics: DetectionMetrics,
    ) -> None:
        self._auditor = auditor
        self._alarms = alarms
        self._clock = clock
        self._feed = feed
        self._metrics = metrics

    async def run(self) -> None:
        """Look until cancelled. What cannot be read now is looked at again."""
        while True:
            try:
                await self.look()
            except (SealwrightError, ValueError, TypeError) as error:  # whatever a row is, the watch goes on
                log.warning("audit trail not read", extra={"facts": {"detail": str(error)}})
            await asyncio.sleep(INTERVAL)

    async def look(self) -> int | None:
        """The number of the first entry that does not follow from the one before it; None when all do."""
        broken = await self._auditor.verify()
        if broken is None:
            return None
        now = self._clock.now()
        facts: Facts = {"entry": broken}
        alarm = state_alarm(BROKEN, Severity.CRITICAL, str(broken), now, now, facts)
        log.critical("audit trail broken", extra={"facts": facts})
        if await asyncio.to_thread(self._alarms.add, [alarm]):
            self._metrics.hunted(BROKEN, Severity.CRITICAL.value, 1)
            self._feed.wake()
        return broken
