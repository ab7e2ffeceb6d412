"""When a part that died is started again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
"""Seconds."""
SETTLED = 30.0
"""Seconds after which a part that stays up has its failures forgiven."""


@dataclass(frozen=True, slots=True)
class History:
    """How often a part failed in a row, and since when it is up (monotonic seconds)."""

    failures: int = 0
    up_since: float | None = None

    def came_up(self, now: float) -> History:
        """It is ready."""
        return History(self.failures, now)

    def died(self, now: float) -> History:
        """It ended unasked, or could not be started."""
        settled = self.up_since is not None and now - self.up_since >= SETTLED
        return History(1 if settled else self.failures + 1)

    @property
    def delay(self) -> float:
        """Seconds to wait before the next start: doubled each time, up to a bound."""
        doublings = min(max(self.failures - 1, 0), 16)
        return min(FIRST_DELAY * 2.0**doublings, LONGEST_DELAY)
