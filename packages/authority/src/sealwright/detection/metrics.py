"""Detection's figures, on a registry that is handed in.

Label values come from closed sets only: a reporter must not be able to grow the number of series.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sealwright.detection.model import ACCEPTED, Alarm, Observation
from sealwright.detection.rules import is_judged
from sealwright_validate import Reason

KNOWN_REASONS = frozenset(reason.value for reason in Reason)
"""Reasons of the standard validator get a series of their own; every other one is counted as `other`."""

ALARM_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)


class DetectionMetrics:
    """Counters and gauges of one detector."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._observations = Counter(
            "sealwright_observations", "Observations kept, by verdict.", ["verdict"], registry=registry
        )
        self._duplicates = Counter(
            "sealwright_observation_duplicates", "Observations that had been kept before.", registry=registry
        )
        self._header_attacks = Counter(
            "sealwright_header_attacks",
            "Tokens refused before their signature was verified, by reason.",
            ["reason"],
            registry=registry,
        )
        self._alarms = Counter(
            "sealwright_alarms", "New alarms, by code and severity.", ["code", "severity"], registry=registry
        )
        self._failures = Counter(
            "sealwright_detection_failures",
            "Times that a part of detection could not do its work.",
            ["part"],
            registry=registry,
        )
        self._seconds = Histogram(
            "sealwright_alarm_seconds",
            "Seconds from the receipt of an observation to the stored alarm.",
            buckets=ALARM_SECONDS,
            registry=registry,
        )
        self.queued = Gauge(
            "sealwright_observations_queued", "Observations not yet durable.", registry=registry
        )
        self.unjudged = Gauge(
            "sealwright_observation_batches_unjudged",
            "Durable batches that wait for judgement.",
            registry=registry,
        )

    def observed(self, observation: Observation) -> None:
        """Count one observation, and the attack that it shows where it was refused unverified."""
        accepted = observation.verdict == ACCEPTED
        self._observations.labels("accepted" if accepted else "refused").inc()
        if not is_judged(observation):
            reason = observation.verdict if observation.verdict in KNOWN_REASONS else "other"
            self._header_attacks.labels(reason).inc()

    def duplicated(self, count: int) -> None:
        """Count observations that had been kept before."""
        self._duplicates.inc(count)

    def alarmed(self, alarm: Alarm, seconds: float) -> None:
        """Count a new alarm that took `seconds` from receipt to store."""
        self._alarms.labels(alarm.code, alarm.severity.value).inc()
        self._seconds.observe(max(seconds, 0.0))

    def hunted(self, code: str, severity: str, count: int) -> None:
        """Count new alarms of a search over history."""
        self._alarms.labels(code, severity).inc(count)

    def failed(self, part: str) -> None:
        """Count a failure of a part: `store`, `judging` or `sink`."""
        self._failures.labels(part).inc()
