"""Which alarms stand, and what is only pending: some things are normal for a moment and wrong after a while.

Pure but for the time that is passed in. May never let an alarm about an entry go again: the ledger keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sealwright.monitor.model import Alarm, Code, Finding

MAX_DETAIL = 300
"""Characters of an alarm's text."""
_Key = tuple[Code, str, str]


class AlarmBook:
    """Alarms of one monitor. A round begins with `begin`, names everything that is wrong, and ends with
    `end`.
    """

    def __init__(self, grace: float, kept: Sequence[tuple[str, Alarm]] = ()) -> None:
        """`kept` is what an earlier run kept, see `kept`."""
        self._grace = grace
        self._now = 0.0
        self._kept: dict[_Key, Alarm] = {(one.code, one.log_id, subject): one for subject, one in kept}
        self._standing = dict(self._kept)
        self._seen: dict[_Key, Alarm] = {}
        self._waiting: dict[_Key, float] = {}
        self._renewed: set[_Key] = set()

    def begin(self, now: float) -> None:
        """A new round, at `now` (seconds since 1970)."""
        self._now = now
        self._seen, self._renewed = {}, set()

    def keep(self, log_id: str, finding: Finding) -> None:
        """Something that stays true: an entry of a log."""
        key = _key(log_id, finding)
        self._kept.setdefault(key, self._alarm(log_id, finding))

    def at_once(self, log_id: str, finding: Finding) -> None:
        """Something that is wrong now."""
        key = _key(log_id, finding)
        self._seen[key] = self._standing.get(key) or self._alarm(log_id, finding)

    def after_grace(self, log_id: str, finding: Finding) -> None:
        """Something that is wrong if it lasts."""
        key = _key(log_id, finding)
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
    def kept(self) -> list[tuple[str, Alarm]]:
        """The alarms about entries, each with its subject."""
        return [(subject, alarm) for (_, _, subject), alarm in self._kept.items()]

    @property
    def standing(self) -> list[Alarm]:
        """Everything that is wrong, oldest first."""
        return sorted(self._standing.values(), key=lambda alarm: (alarm.at, alarm.log_id, alarm.code))

    @property
    def pending(self) -> bool:
        """Whether something may still become an alarm, or cease to be one."""
        return any(key not in self._standing for key in self._waiting)

    def _alarm(self, log_id: str, finding: Finding) -> Alarm:
        return Alarm(self._now, finding.code, log_id, finding.index, printable(finding.detail))


def _key(log_id: str, finding: Finding) -> _Key:
    return finding.code, log_id, printable(finding.subject)


def printable(text: str) -> str:
    """Text that quotes what others wrote, made safe for a terminal and for JSON: one bounded line."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return shown if len(shown) <= MAX_DETAIL else shown[: MAX_DETAIL - 1] + "\u2026"
