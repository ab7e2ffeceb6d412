"""Interleaving: the host's speed drifts by more than the cases differ, so every round measures every case
once.

A case may never be measured in a block of its own, and no round may be dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from harness.model import median

Measured = TypeVar("Measured")


def interleave(
    cases: Mapping[str, Callable[[], Measured]], rounds: int, say: Callable[[str], None]
) -> dict[str, list[Measured]]:
    """Measure every case once per round, starting each round one case later; the lists are in order of
    rounds.
    """
    names = list(cases)
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % len(names) if names else 0
        for name in names[start:] + names[:start]:
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(cases[name]())
    return found


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours by theirs: both of a pair saw the same stretch of time."""
    return median([mine / other for mine, other in zip(ours, theirs, strict=True)])
