"""Durations as people write them. Pure; knows nothing of what a duration is for."""

from __future__ import annotations

import re

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
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


def spoken(duration: int) -> str:
    """The shortest exact form of a number of seconds: 21600 is "6h", 90 is "90s"."""
    for unit in ("d", "h", "m"):
        if duration and duration % UNITS[unit] == 0:
            return f"{duration // UNITS[unit]}{unit}"
    return f"{duration}s"
