"""Which alarms stand, and what is only pending: some things are normal for a moment and wrong after a while.

Pure but for the time that is passed in. May never let an alarm about an entry go again: the ledger keeps it.
"""

from __future__ import annotations

from sealwright.monitor.model import Alarm, Code, Finding

_Key = tuple[Code, str, str]


class AlarmBook:
    """Alarms of one monitor. A round begins with `begin`, names everything that is wrong, and ends with
    `end`.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._now = 0.0
        self._kept: dict[_Key, Alarm] = {}
        self._standing: dict[_Key, Alarm] = {}
        self._seen: dict[_Key, Alarm] = {}
        self._waiting: dict[_Key, float] = {}
        self._renewed: set[_Key] = set()

    def begin(self, now: float) -> None:
        """A new round, at `now` (seconds since 1970)."""
        self._now = now
        self._seen, self._renewed = {}, set()

    def keep(self, log_id: str, finding: Finding) -> None:
        """Something that stays true: an entry of a log."""
        key = (finding.code, log_id, finding.subject)
        self._kept.setdefault(key, self._alarm(log_id, finding))

    def at_once(self, log_id: str, finding: Finding) -> None:
        """Something that is wrong now."""
        key = (finding.code, log_id, finding.subject)
        self._seen[key] = self._standing.get(key) or self._alarm(log_id, finding)

    def after_grace(self, log_id: str, finding: Finding) -> None:
        """Something that is wrong if it lasts."""
        key = (finding.code, log_id, finding.subject)
        self._renewed.add(key)
        if self._now - self._waiting.setdefault(key, self._now) >= self._grace:
            self.at_once(log_id, finding)

    def end(self) -> list[Alarm]:
        """The alarms that are new with this round."""
        before = set(self._standing)
        self._standing = self._kept | self._seen
        self._waiting = {key: since for key, since in self._waiting.items() if key in self._renewed}
        return [alarm for key, alarm in self._standing.items() if key not in before]

    @property
    def standing(self) -> list[Alarm]:
        """Everything that is wrong, oldest first."""
        return sorted(self._standing.values(), key=lambda alarm: (alarm.at, alarm.log_id, alarm.code))

    @property
    def pending(self) -> bool:
        """Whether something may still become an alarm, or cease to be one."""
        return any(key not in self._standing for key in self._waiting)

    def _alarm(self, log_id: str, finding: Finding) -> Alarm:
        return Alarm(self._now, finding.code, log_id, finding.index, finding.detail)
