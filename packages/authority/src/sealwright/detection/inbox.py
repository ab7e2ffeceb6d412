"""The bounded queue between the report route and the worker: where backpressure is decided.

Bounds count observations, not reports. One reporter can fill its share only, so that a flood from one relying
party does not blind detection for the others. Nothing here stores or judges.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

from sealwright.detection.model import Receipt, Report
from sealwright.errors import Unavailable

QUEUE_MAX = 20_000
"""Observations that may wait to become durable."""
REPORTER_MAX = 5_000
"""Observations of one reporter among them."""
GROUP_MAX = 5_000
"""Observations that one commit takes up (a single report is never divided)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report that is not durable yet, and where its receipt goes."""

    reporter: str
    report: Report
    receipt: asyncio.Future[Receipt]

    @property
    def weight(self) -> int:
        """What it counts for; a heartbeat counts as one."""
        return max(1, len(self.report.observations))


class Inbox:
    """First in, first out; for one event loop."""

    def __init__(self, queue_max: int = QUEUE_MAX, reporter_max: int = REPORTER_MAX) -> None:
        self._queue_max = queue_max
        self._reporter_max = reporter_max
        self._waiting: deque[Waiting] = deque()
        self._by_reporter: Counter[str] = Counter()
        self._filled = asyncio.Event()
        self.weight = 0

    def put(self, reporter: str, report: Report) -> asyncio.Future[Receipt]:
        """Queue a report; the future yields its receipt once it is durable.

        Raises:
            Unavailable: `reporter_too_fast` (this reporter's share is full) or `detection_busy` (the queue
                is).
        """
        waiting = Waiting(reporter, report, asyncio.get_running_loop().create_future())
        if self._by_reporter[reporter] + waiting.weight > self._reporter_max:
            raise Unavailable(
                "reporter_too_fast", "Report more slowly, or wait and send the same report again."
            )
        if self.weight + waiting.weight > self._queue_max:
            raise Unavailable("detection_busy", "The report queue is full. Send the same report again later.")
        self._waiting.append(waiting)
        self._by_reporter[reporter] += waiting.weight
        self.weight += waiting.weight
        self._filled.set()
        return waiting.receipt

    async def take(self, wait_seconds: float) -> list[Waiting]:
        """The next group for one commit; empty when nothing arrived within the wait."""
        if not self._waiting:
            self._filled.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._filled.wait()
            except TimeoutError:
                return []
        group: list[Waiting] = []
        weight = 0
        while self._waiting and (not group or weight + self._waiting[0].weight <= GROUP_MAX):
            weight += self._waiting[0].weight
            group.append(self._removed())
        return group

    def fail_all(self, error: Exception) -> None:
        """Let every waiting reporter know that its report was not kept."""
        while self._waiting:
            waiting = self._removed()
            if not waiting.receipt.done():
                waiting.receipt.set_exception(error)

    def _removed(self) -> Waiting:
        waiting = self._waiting.popleft()
        self.weight -= waiting.weight
        self._by_reporter[waiting.reporter] -= waiting.weight
        if self._by_reporter[waiting.reporter] <= 0:
            del self._by_reporter[waiting.reporter]
        return waiting
