"""Runs the watch over the keys beside the rotator, and tells metrics what the keys look like.

Reads stores in a worker thread. May never wait for the rotator: it is what notices that it stands still.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sealwright.admin.model import AuditEntry
from sealwright.clock import Clock
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.keywatch import HEARD, INTERVAL, KeyAlarm, View, look
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import StoredAlarm
from sealwright.detection.ports import AlarmSink
from sealwright.detection.sinks import JsonLines
from sealwright.errors import SealwrightError
from sealwright.keys import rules
from sealwright.keys.model import Key, KeyPolicy
from sealwright.wiring.stores import Stores

log = logging.getLogger(__name__)
AUDITED = 1_000
"""Entries of the audit trail that one look reads at the most."""
LOOK_BACK = 50_000
"""Leaves of a log in which a use of a key is looked for."""


class KeyUse:
    """When a key last signed, from the newest leaves of its log."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def last(self, key: Key) -> int | None:
        """Issue time of its newest token among the last `LOOK_BACK` leaves, seconds since 1970."""
        raw = base64.urlsafe_b64decode(key.kid + "=")
        return self._stores.ledger.last_use(key.log_id, raw, LOOK_BACK)


class KeyWatch:
    """Looks at the keys every `INTERVAL` seconds and raises what is wrong.

    Args:
        stores: what is read, and where alarms go.
        policies: how keys are meant to live.
        clock: the current time.
        feed: woken for new alarms.
        metrics: told of them.
        sinks: told of them as well; the process's log when None.
    """

    def __init__(
        self,
        stores: Stores,
        policies: Sequence[KeyPolicy],
        clock: Clock,
        feed: AlarmFeed,
        metrics: DetectionMetrics,
        sinks: Sequence[AlarmSink] | None = None,
    ) -> None:
        self._stores = stores
        self._policies = tuple(policies)
        self._clock = clock
        self._feed = feed
        self._metrics = metrics
        self._sinks = [JsonLines(sys.stderr)] if sinks is None else list(sinks)
        self._use = KeyUse(stores)
        self._late: frozenset[str] = frozenset()
        self._seen: int | None = None

    async def run(self) -> None:
        """Look until cancelled. What cannot be read now is looked at again."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                if await asyncio.to_thread(self.look):
                    self._feed.wake()
            except SealwrightError as error:
                log.warning("keys not watched", extra={"facts": {"detail": str(error)}})

    def look(self) -> list[StoredAlarm]:
        """One look; returns the alarms that are new. Blocking.

        What is late is told when two looks in a row see it: after a pause of the host the rotator comes
        first.
        """
        validators = self._stores.observations.validators()
        keys, newest = self._stores.keys.unretired(), self._stores.keys.latest_manifest()
        view = View(
            validators=validators,
            keys=keys,
            manifest_version=newest.version if newest else 0,
            policies=self._policies,
            leaf=self._stores.ledger.leaf,
            used=lambda key: self._use.last(key) is not None,
            known=self._stores.keys.get,
            audited=self._audited(),
        )
        seen = look(view, self._clock.now())
        late = frozenset(alarm.id for alarm in seen if alarm.code == KeyAlarm.ROTATION_OVERDUE)
        told = [alarm for alarm in seen if alarm.id not in late or alarm.id in self._late]
        self._late = late
        stored = self._stores.alarms.add(told) if told else []
        for one in stored:
            self._metrics.alarmed(one.alarm, 0.0)
            for sink in self._sinks:
                sink.tell(one)
        return stored

    def _audited(self) -> list[AuditEntry]:
        """Entries since the last look; at the first one, of the time in which nobody looked."""
        last = self._stores.audit.last()
        if self._seen is None:
            self._seen = max(0, last.seq - AUDITED) if last else 0
        found = self._stores.audit.page(self._seen, AUDITED)
        self._seen = found[-1].seq if found else self._seen
        return found


class KeyFigures(Collector):
    """Gauges about keys, computed when they are read."""

    def __init__(self, stores: Stores, policies: Sequence[KeyPolicy], clock: Clock) -> None:
        self._stores = stores
        self._policies = tuple(policies)
        self._clock = clock

    @classmethod
    def register(
        cls, registry: CollectorRegistry, stores: Stores, policies: Sequence[KeyPolicy], clock: Clock
    ) -> None:
        """Add them to a registry."""
        registry.register(cls(stores, policies, clock))

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is read at registration."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Ages and times of now, in seconds."""
        now, keys = self._clock.now(), self._stores.keys.unretired()
        oldest = GaugeMetricFamily(
            "sealwright_oldest_trusted_key_seconds", "Age of the oldest published key.", labels=["realm"]
        )
        due = GaugeMetricFamily(
            "sealwright_next_rotation_seconds",
            "Seconds until the next planned change of keys; negative when it is late.",
            labels=["realm", "algorithm"],
        )
        for realm in sorted({policy.realm for policy in self._policies}):
            ages = [now - key.use_from for key in keys if key.realm == realm and key.published]
            oldest.add_metric([realm], max(ages, default=0.0))
        for policy in self._policies:
            mine = [key for key in keys if (key.realm, key.algorithm) == (policy.realm, policy.algorithm)]
            change = rules.next_change(mine, policy)
            if change is not None:
                due.add_metric([policy.realm, policy.algorithm], change - now)
        return [oldest, due, self._manifests(now)]

    def _manifests(self, now: float) -> GaugeMetricFamily:
        """By reporter, not by instance: a reporter must not be able to grow the number of series."""
        ages: dict[str, float] = {}
        for status in self._stores.observations.validators():
            age = status.validator.manifest_age
            if age is not None and now - status.heard_at <= HEARD:
                ages[status.reporter] = max(ages.get(status.reporter, 0.0), age)
        gauge = GaugeMetricFamily(
            "sealwright_validator_manifest_age_seconds",
            "Age of the manifest that the slowest validator of each reporter last said to hold.",
            labels=["reporter"],
        )
        for reporter, age in sorted(ages.items()):
            gauge.add_metric([reporter], age)
        return gauge
