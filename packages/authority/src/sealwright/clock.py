"""The only place of the authority that reads the clock.

Rules take `now` as an argument; services take a `Clock`. Nothing else may call `time.time`.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The host's wall clock."""

    __slots__ = ()

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, from the host."""
        return time.time()
