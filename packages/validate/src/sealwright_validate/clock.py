"""The only place of this package that reads a clock.

May never be given a time by an untrusted party: what a token or a document says about time is an input to
the rules, never to the clock.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what documents say, monotonic time for how long something has been held."""

    def wall(self) -> float:
        """Seconds since 1970, as the machine believes them."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never runs backwards, even when the wall clock is set."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def wall(self) -> float:
        """Seconds since 1970, as the machine believes them."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never runs backwards, even when the wall clock is set."""
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()


class FixedClock:
    """A clock that stands where it is put: to judge a token as of another moment, and for tests."""

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, wall: float) -> None:
        self._wall = wall
        self._monotonic = 0.0

    def wall(self) -> float:
        """Seconds since 1970, as set."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds that the clock was moved forward."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, wall: float) -> None:
        """Set the wall clock, as an administrator or an attacker on the network would: no time passes."""
        self._wall = wall
