"""What a broken rule says. Pure; decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealwright.config.durations import spoken


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: its stable code, the value's dotted path, what is wrong, what to do."""

    rule: str
    path: str
    wrong: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}: {self.wrong}; {self.fix}"


def between(path: str, value: int, least: int, most: int, rule: str) -> Iterator[Problem]:
    """The problem of a duration (seconds) outside its limits, if it is."""
    if not least <= value <= most:
        wrong = f"{spoken(value)} is outside {spoken(least)} to {spoken(most)}"
        yield Problem(rule, path, wrong, "these limits are in the code and can only be tightened")
