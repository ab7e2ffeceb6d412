"""The one place that reads the clock; only the command line does, when it is not told the time.

No verifier may import it: the time of an appraisal is an argument, so that an audit repeats it exactly.
"""

from datetime import UTC, datetime


def current_time() -> datetime:
    """Return the present time, in UTC."""
    return datetime.now(tz=UTC)
