"""Carries alarms to the outside: at least once, in order, each sink at its own pace.

A sink reads the feed behind a durable cursor, so an outage of hours loses nothing and holds nobody else up.
Nothing here decides what an alarm is.
"""

from __future__ import annotations

import asyncio

from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.ports import AlarmSink, CursorStore
from sealwright.errors import Unavailable

FIRST_RETRY = 0.5
LONGEST_RETRY = 60.0
"""Seconds between attempts: doubled from the first to the longest."""
PAGE = 100
IDLE_SECONDS = 5.0


class Delivery:
    """One sink's way through the feed.

    Args:
        name: under which the cursor is kept; unique for each sink.
        sink: is called in a worker thread.
        feed: where alarms come from.
        cursors: where progress is kept.
        metrics: counts failures.
    """

    def __init__(
        self, name: str, sink: AlarmSink, feed: AlarmFeed, cursors: CursorStore, metrics: DetectionMetrics
    ) -> None:
        self._name = name
        self._sink = sink
        self._feed = feed
        self._cursors = cursors
        self._metrics = metrics

    async def run(self) -> None:
        """Deliver until cancelled."""
        retry = FIRST_RETRY
        while True:
            try:
                await self.step(IDLE_SECONDS)
                retry = FIRST_RETRY
            except Unavailable:
                self._metrics.failed("sink")
                await asyncio.sleep(retry)
                retry = min(retry * 2, LONGEST_RETRY)

    async def step(self, wait_seconds: float) -> int:
        """Deliver what there is, waiting up to `wait_seconds` for the first; returns how many.

        Raises:
            Unavailable: the sink took no more; what it took before is behind the cursor.
        """
        after = await asyncio.to_thread(self._cursors.cursor, self._name)
        page = await self._feed.next_page(after, PAGE, wait_seconds)
        done = after
        try:
            for stored in page:
                await asyncio.to_thread(self._sink.tell, stored)
                done = stored.seq
        finally:
            if done != after:
                await asyncio.to_thread(self._cursors.move, self._name, done)
        return len(page)
