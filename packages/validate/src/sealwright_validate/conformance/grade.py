"""Holds what targets said against what a sound relying party does.

May never be lenient: a crash is not a refusal, and a token that could not be sent proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique

from sealwright_validate.conformance.case import Case, Force
from sealwright_validate.conformance.targets.model import Said, Target, Verdict


@unique
class Grade(StrEnum):
    """How a verdict is to be read."""

    RIGHT = "right"
    WEAK = "weak"  # against best practice, or by a fault instead of a refusal
    WRONG = "wrong"  # against a specification, or a bypass
    NOT_APPLICABLE = "n/a"  # the target cannot know it, or the token could not be sent


@dataclass(frozen=True, slots=True)
class Column:
    """One target with what it said of every case, by name."""

    name: str
    version: str
    said: Mapping[str, Said]
    grades: Mapping[str, Grade]

    def count(self, grade: Grade, cases: Sequence[Case]) -> int:
        """How many of these cases got a grade."""
        return sum(self.grades[case.name] is grade for case in cases)

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Table:
    """The whole outcome: every case, every target. `absent` says which targets could not be used, and why."""

    made_at: float
    cases: Sequence[Case]
    columns: Sequence[Column]
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, list[Case]]:
        """The cases by group, in order."""
        found: dict[str, list[Case]] = {}
        for case in self.cases:
            found.setdefault(case.group, []).append(case)
        return found


def grade(case: Case, said: Said, *, knows_manifest: bool) -> Grade:
    """How one verdict is to be read."""
    if said.verdict is Verdict.NOT_SENT or (case.force is Force.MANIFEST and not knows_manifest):
        return Grade.NOT_APPLICABLE
    if case.accept == (said.verdict is Verdict.ACCEPTED):
        return Grade.WEAK if said.verdict is Verdict.CRASHED else Grade.RIGHT
    return Grade.WRONG if case.force in (Force.MUST, Force.MANIFEST) else Grade.WEAK


def column_of(target: Target, cases: Sequence[Case]) -> Column:
    """Put every case to one target."""
    said = {case.name: target.judge(case.token) for case in cases}
    grades = {case.name: grade(case, said[case.name], knows_manifest=target.knows_manifest) for case in cases}
    return Column(target.name, target.version, said, grades)
