"""The incidents of the running authority: follows the feed of alarms, and keeps what they make.

Rebuilt from the stored alarms at each start, so it keeps nothing of its own. May never drop an alarm.
"""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge

from sealwright.detection.feed import PAGE_MAX, AlarmFeed
from sealwright.detection.incidents import QUIET, Gatherer, Incident
from sealwright.detection.model import Severity
from sealwright.errors import Unavailable

IDLE_SECONDS = 5.0
RETRY_SECONDS = 1.0


class Casebook:
    """For one event loop. `alarm_of` says which incident an alarm id belongs to."""

    def __init__(self, feed: AlarmFeed, registry: CollectorRegistry) -> None:
        self._feed = feed
        self._gatherer = Gatherer()
        self._incident_of: dict[str, str] = {}
        self._after = 0
        self._reading = asyncio.Lock()
        self._opened = Counter(
            "sealwright_incidents",
            "Incidents that alarms have made, by the severity that they began with.",
            ["severity"],
            registry=registry,
        )
        self._open = Gauge(
            "sealwright_incidents_open",
            "Incidents with an alarm within the last day, by severity.",
            ["severity"],
            registry=registry,
        )

    async def run(self) -> None:
        """Follow the feed until cancelled."""
        while True:
            try:
                await self._feed.next_page(self._after, 1, IDLE_SECONDS)
                await self.incidents()
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def incidents(self) -> list[Incident]:
        """Every incident so far, in the order in which they began.

        Raises:
            Unavailable: the alarms cannot be read now.
        """
        async with self._reading:
            while page := await self._feed.page(self._after, PAGE_MAX):
                for stored in page:
                    incident = self._gatherer.take(stored)
                    self._incident_of[stored.alarm.id] = incident.id
                    if incident.alarms == 1:
                        self._opened.labels(incident.severity.value).inc()
                    self._after = stored.seq
            self._measure()
        return self._gatherer.incidents

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident."""
        found = await self.incidents()
        return next((incident for incident in found if incident.id == incident_id), None)

    def incident_of(self, alarm_id: str) -> str | None:
        """The incident that an alarm belongs to, of the alarms that were read so far."""
        return self._incident_of.get(alarm_id)

    def _measure(self) -> None:
        newest = max((incident.last_at for incident in self._gatherer.incidents), default=0.0)
        for severity in Severity:
            count = sum(
                incident.severity is severity and incident.last_at > newest - QUIET
                for incident in self._gatherer.incidents
            )
            self._open.labels(severity.value).set(count)
