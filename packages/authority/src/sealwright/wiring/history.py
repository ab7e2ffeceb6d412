"""Starts the search over history on schedule, and tells what it did. May never run one in this process."""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.wiring.search import EXIT_WITHOUT_EXTRA, Told

log = logging.getLogger(__name__)
PROGRAM = "sealwright.wiring.search"


class History:
    """The schedule of the search."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        feed: AlarmFeed,
        metrics: DetectionMetrics,
        registry: CollectorRegistry,
    ) -> None:
        self._config = config
        self._clock = clock
        self._feed = feed
        self._metrics = metrics
        self._runs = Counter(
            "sealwright_history_searches", "Searches over history.", ["outcome"], registry=registry
        )
        self._last = Gauge(
            "sealwright_history_searched_timestamp_seconds",
            "When history was last searched to the end.",
            registry=registry,
        )
        self._seconds = Gauge(
            "sealwright_history_search_seconds", "How long the last search took.", registry=registry
        )

    async def run(self) -> None:
        """Search until cancelled, or for good until something is installed that a search needs."""
        while True:
            await asyncio.sleep(self._config.detection.every)
            if not await self.search():
                log.warning("history is not searched: install sealwright[detect]")
                await asyncio.Event().wait()

    async def search(self) -> bool:
        """One search; false when what it needs is not installed. Any other failure is told, and tried
        again.
        """
        arguments = (msgspec.json.encode(self._config).decode(), repr(self._clock.now()))
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            PROGRAM,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await child.communicate()
        except asyncio.CancelledError:
            child.kill()
            await child.wait()
            raise
        if child.returncode == EXIT_WITHOUT_EXTRA:
            self._runs.labels("not_installed").inc()
            return False
        if child.returncode != 0:
            self._runs.labels("failed").inc()
            facts = {"status": child.returncode, "detail": err.decode(errors="replace")[-2_000:]}
            log.error("history not searched", extra={"facts": facts})
            return True
        self._tell(msgspec.json.decode(out, type=Told))
        return True

    def _tell(self, told: Told) -> None:
        self._runs.labels("done").inc()
        self._last.set(self._clock.now())
        self._seconds.set(told.seconds)
        for name, count in told.alarms.items():
            code, _, severity = name.partition(" ")
            self._metrics.hunted(code, severity, count)
        if told.alarms:
            self._feed.wake()
        log.info("history searched", extra={"facts": msgspec.to_builtins(told)})
