"""Durations and times as people write them. Pure; knows nothing of what they are for."""

from __future__ import annotations

import re
from datetime import UTC, datetime

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_NUMBER = re.compile(r"[0-9]{1,11}(\.[0-9]{1,6})?", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,12})([smhd])", re.ASCII)


def seconds(text: str) -> int:
    """Seconds in "90s", "30m", "6h" or "14d"; a bare whole number is seconds.

    Raises:
        ValueError: `text` is nothing of the kind. The message says what is.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(
            f'"{text}" is no duration; write seconds as a whole number, or "90s", "30m", "6h", "14d"'
        )
    return int(found[1]) * UNITS[found[2]]


def moment(text: str, now: float) -> float:
    """Unix seconds of a time as people write it: "2026-11-22", "2026-11-22T04:30Z", unix seconds, or "7d" for
    a week ago. Without a zone it is UTC.

    Raises:
        ValueError: `text` is nothing of the kind. The message says what is.
    """
    if _DURATION.fullmatch(text):
        return now - seconds(text)
    try:
        if _NUMBER.fullmatch(text):
            return float(text)
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f'"{text}" is no time; write "2026-11-22", "2026-11-22T04:30Z", unix seconds, or "7d" for a '
            "week ago"
        ) from None
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def spoken(duration: int) -> str:
    """The shortest exact form of a number of seconds: 21600 is "6h", 90 is "90s"."""
    for unit in ("d", "h", "m"):
        if duration and duration % UNITS[unit] == 0:
            return f"{duration // UNITS[unit]}{unit}"
    return f"{duration}s"
