"""Alarms gathered into incidents: what belongs together is worked on together. Pure.

Alarms about one key are one incident, whatever their codes; without a key, those about one client; otherwise
those of one reporter, or of one subject. After a day of silence a new incident begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from sealwright.detection.model import Alarm, Severity, StoredAlarm

QUIET = 86_400.0
"""Seconds without an alarm after which the next one opens a new incident."""
TIMELINE_MAX = 1_000
"""Entries that an incident's timeline keeps: the first ones. Everything else is counted."""

_ORDER = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


class Moment(msgspec.Struct, frozen=True):
    """One line of a timeline. Times are unix seconds: when it happened, and when the alarm was raised."""

    seq: int
    observed_at: float
    raised_at: float
    code: str
    reporter: str
    digest: str


class Incident(msgspec.Struct, kw_only=True):
    """Alarms that belong together. Times are unix seconds."""

    id: str
    about: str
    severity: Severity
    first_at: float
    last_at: float
    alarms: int
    codes: dict[str, int]
    reporters: list[str]
    clients: list[str]
    timeline: list[Moment]


class Gatherer:
    """Takes alarms in the order of the feed, and keeps the incidents that they make."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []
        """In the order in which they began."""
        self._current: dict[str, Incident] = {}

    def take(self, stored: StoredAlarm) -> Incident:
        """The incident that an alarm belongs to, with the alarm in it."""
        about = subject_of(stored.alarm)
        incident = self._current.get(about)
        if incident is None or stored.alarm.raised_at - incident.last_at > QUIET:
            incident = self._current[about] = _opened(about, stored)
            self.incidents.append(incident)
        _joined(incident, stored)
        return incident


def gathered(alarms: Iterable[StoredAlarm]) -> list[Incident]:
    """The incidents of a feed of alarms, in the order in which they began."""
    gatherer = Gatherer()
    for stored in alarms:
        gatherer.take(stored)
    return gatherer.incidents


def subject_of(alarm: Alarm) -> str:
    """What an alarm is about, as the name under which alarms gather."""
    if alarm.kid:
        return f"key {alarm.kid}"
    if client := alarm.facts.get("client_id"):
        return f"client {client}"
    return (
        f"reporter {alarm.reporter}"
        if alarm.reporter
        else f"{alarm.code} {alarm.facts.get('subject', '')}".strip()
    )


def _opened(about: str, first: StoredAlarm) -> Incident:
    at = first.alarm.raised_at
    return Incident(
        id=hashlib.sha256(f"{about}\0{first.alarm.id}".encode()).hexdigest()[:16],
        about=about,
        severity=first.alarm.severity,
        first_at=min(at, first.alarm.observed_at),
        last_at=at,
        alarms=0,
        codes={},
        reporters=[],
        clients=[],
        timeline=[],
    )


def _joined(incident: Incident, stored: StoredAlarm) -> None:
    alarm = stored.alarm
    incident.alarms += 1
    incident.codes[alarm.code] = incident.codes.get(alarm.code, 0) + 1
    incident.severity = max(incident.severity, alarm.severity, key=_ORDER.index)
    incident.first_at = min(incident.first_at, alarm.observed_at)
    incident.last_at = max(incident.last_at, alarm.raised_at)
    client = alarm.facts.get("client_id")
    for names, name in ((incident.reporters, alarm.reporter), (incident.clients, client)):
        if isinstance(name, str) and name and name not in names:
            names.append(name)
    if len(incident.timeline) < TIMELINE_MAX:
        moment = Moment(
            stored.seq, alarm.observed_at, alarm.raised_at, alarm.code, alarm.reporter, alarm.digest
        )
        incident.timeline.append(moment)
