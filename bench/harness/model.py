"""What a part of the benchmark is given and what it hands back.

Nothing here measures anything, and nothing here may round a figure: that is the report's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Cell = str | int | float | None
"""What a table holds; None where something could not be measured (a note says why)."""


class NotMeasured(Exception):
    """Something that a part needs is absent here; the text says what. The report shows it, nothing hides
    it.
    """


class WrongAnswer(Exception):
    """What was measured did not do its work (an invalid token, a lost leaf), so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Table:
    """Figures with a title; every row is as long as `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Floor:
    """A ratio that the project promised, and what this run got; `got` is None where it could not be
    measured.
    """

    name: str
    wanted: float
    got: float | None

    @property
    def verdict(self) -> str:
        """`met`, `missed` or `not measured`."""
        if self.got is None:
            return "not measured"
        return "met" if self.got >= self.wanted else "missed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a part found."""

    tables: tuple[Table, ...]
    floors: tuple[Floor, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a part may use: `scratch` is an empty directory on a real disk that is removed after the part."""

    quick: bool
    scratch: Path
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the benchmark; registered by name in `bench/parts/__init__.py`."""

    name: str
    title: str
    run: Callable[[Setting], Outcome]


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of what the rounds measured."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest; `values` holds at least one."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])


def median(values: Sequence[float]) -> float:
    """The middle of the values; they are at least one."""
    return spread(values).median
