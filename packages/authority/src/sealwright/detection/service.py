"""The detector: takes reports, answers once they are durable, and has them judged at once.

One worker thread does all blocking work; reports that arrive while it is busy share the next commit. May
never delay a token: issuance knows nothing of this service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sealwright.detection.feed import AlarmFeed
from sealwright.detection.inbox import Inbox, Waiting
from sealwright.detection.judging import Judging
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Receipt, Report, StoredAlarm
from sealwright.errors import Unavailable

TICK_SECONDS = 0.25
"""How often open batches are judged again, and marks are written, while nothing arrives."""

T = TypeVar("T")


class Detector:
    """Reports in, alarms out. `run` must be running; for one event loop."""

    def __init__(
        self, judging: Judging, feed: AlarmFeed, metrics: DetectionMetrics, inbox: Inbox | None = None
    ) -> None:
        self._judging = judging
        self._feed = feed
        self._metrics = metrics
        self._inbox = inbox or Inbox()
        self._running = False
        self._in_flight: Sequence[Waiting] = ()

    async def observe(self, reporter: str, report: Report) -> Receipt:
        """Keep a report. Returns once it is durable; judgement follows at once.

        Raises:
            Unavailable: it was not kept (`reporter_too_fast`, `detection_busy`, `detection_stopped`, or the
                store).
        """
        if not self._running:
            raise Unavailable(
                "detection_stopped", "Reports are not taken now. Send the same report again later."
            )
        receipt = self._inbox.put(reporter, report)
        self._metrics.queued.set(self._inbox.weight)
        return await receipt

    async def run(self) -> None:
        """Work until cancelled. An error that is not `Unavailable` ends it, and must end the process."""
        clock = asyncio.get_running_loop().time
        with ThreadPoolExecutor(1, thread_name_prefix="detection") as worker:
            self._running = True
            try:
                await self._in(worker, self._judging.recover)
                ticked = clock()
                while True:
                    self._in_flight = await self._inbox.take(TICK_SECONDS)
                    self._metrics.queued.set(self._inbox.weight)
                    if self._in_flight:
                        await self._work(worker, self._in_flight)
                    if clock() - ticked >= TICK_SECONDS:
                        self._wake(await self._in(worker, self._judging.tick))
                        ticked = clock()
            finally:
                self._running = False
                stopped = Unavailable("detection_stopped", "The report may not be kept. Send it again later.")
                self._fail(self._in_flight, stopped)
                self._inbox.fail_all(stopped)

    async def _work(self, worker: ThreadPoolExecutor, group: Sequence[Waiting]) -> None:
        reports = [(waiting.reporter, waiting.report) for waiting in group]
        try:
            kept = await self._in(worker, lambda: self._judging.keep(reports))
        except Unavailable as error:
            self._fail(group, error)
            return
        for waiting, receipt in zip(group, kept.receipts, strict=True):
            if not waiting.receipt.done():
                waiting.receipt.set_result(receipt)
        self._wake(await self._in(worker, lambda: self._judging.judge(kept.batch, kept.new)))

    def _wake(self, new: Sequence[StoredAlarm]) -> None:
        if new:
            self._feed.wake()

    @staticmethod
    def _fail(group: Sequence[Waiting], error: Unavailable) -> None:
        for waiting in group:
            if not waiting.receipt.done():
                waiting.receipt.set_exception(error)

    @staticmethod
    async def _in(worker: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(worker, work)
