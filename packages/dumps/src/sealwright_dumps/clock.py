"""The one place that reads the clock. May never do: anything else."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present time, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def monotonic() -> float:
    """Seconds on a clock that never goes back, for rates and time-outs."""
    return time.monotonic()
