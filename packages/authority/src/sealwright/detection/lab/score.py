"""How well the catalogue finds what is hidden: precision, recall and time to detect, for each detection.

The searched day is gone through in runs, as in operation. A finding counts as right when the truth names its
subject under its code; everything else is a false alarm, also where it is merely unlucky.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from sealwright.detection.catalogue.entries import BY_CODE
from sealwright.detection.catalogue.model import How, Params
from sealwright.detection.catalogue.tables import Tables
from sealwright.detection.engine import findings
from sealwright.detection.lab.attacks import Truth
from sealwright.detection.lab.traffic import DAY, HOUR, NOW

RUNS = 8
STREAMED = "at once"


@dataclass(frozen=True, slots=True)
class Score:
    """One detection's result. Times are seconds from the first evidence to the run that found it."""

    code: str
    hidden: int
    found: int
    missed: int
    false_alarms: int
    median_seconds: float | None

    @property
    def precision(self) -> float | None:
        """Share of findings that were right; None without findings."""
        said = self.found + self.false_alarms
        return self.found / said if said else None

    @property
    def recall(self) -> float | None:
        """Share of what was hidden that was found; None where nothing was."""
        return self.found / self.hidden if self.hidden else None


def runs() -> Iterator[Params]:
    """The last day in `RUNS` runs."""
    step = DAY / RUNS
    for number in range(RUNS):
        begin = NOW - DAY + number * step
        end = begin + step
        yield Params(
            since=begin, now=end, complete_until=end, silent_after=2.0 * DAY, checkpoint_age=float(DAY)
        )


def score(tables: Tables, truth: Truth) -> list[Score]:
    """Go through the day and compare with the truth."""
    first_found: dict[str, dict[str, float]] = {code: {} for code in BY_CODE}
    for params in runs():
        # A run must not see what had not arrived by then.
        arrived = tables.observed.filter(tables.observed.received_at < params.now)
        issued = tables.issued.filter(tables.issued.iat < params.now)
        for row in findings(_replaced(tables, arrived, issued), params):
            first_found[row.code].setdefault(row.subject, params.now)
    return [_score(code, first_found[code], truth.get(code, {})) for code in BY_CODE]


def _score(code: str, found: Mapping[str, float], hidden: Mapping[str, float]) -> Score:
    right = found.keys() & hidden.keys()
    waits = [found[subject] - hidden[subject] for subject in right]
    return Score(
        code=code,
        hidden=len(hidden),
        found=len(right),
        missed=len(hidden.keys() - right),
        false_alarms=len(found.keys() - right),
        median_seconds=median(waits) if waits else None,
    )


def _replaced(tables: Tables, observed: object, issued: object) -> Tables:
    fields = {name: getattr(tables, name) for name in Tables.__dataclass_fields__}
    return Tables(**{**fields, "observed": observed, "issued": issued})


def as_markdown(scores: list[Score]) -> str:
    """The scores as a Markdown table; a detection with nothing hidden and nothing said is left out."""
    head = "| detection | hidden | found | missed | false alarms | precision | recall | time to detect |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for one in (one for one in scores if one.hidden or one.false_alarms):
        numbers = f"{one.hidden} | {one.found} | {one.missed} | {one.false_alarms}"
        lines.append(
            f"| `{one.code}` | {numbers} | {_share(one.precision)} | {_share(one.recall)} | {_wait(one)} |"
        )
    return "\n".join(lines) + "\n"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _wait(one: Score) -> str:
    if one.median_seconds is None:
        return ""
    if BY_CODE[one.code].how is How.BOTH:
        return STREAMED
    return f"{one.median_seconds / HOUR:.1f} h"
