"""Says how a token is judged, step by step, for a person. Shows claims of a verified token; never a
signature.

Runs the very steps of steps.py; may never judge by anything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.keyset import KeySnapshot
from sealwright_validate.steps import STEPS, Case, Step
from sealwright_validate.trust import Trust


class Outcome(StrEnum):
    """What became of a step."""

    HOLDS = "holds"
    REFUSED = "refused"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Line:
    """One step with its outcome. `reason` and `detail` are empty unless it refused."""

    step: str
    what: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""


def what_it_checks(step: Step) -> str:
    """The first sentence of a step's docstring: also the line of the documentation."""
    return " ".join((step.__doc__ or "").split("\n\n")[0].split())


def explain(
    unverified_token: str,
    expect: Expect,
    snapshot: KeySnapshot,
    trust: Trust,
    *,
    now: float,
    skew: float,
    fresh: bool,
) -> Iterator[Line]:
    """Every step in order. After the first refusal the rest is not reached."""
    case = Case(unverified_token, expect, snapshot, trust, now=now, skew=skew, fresh=fresh)
    outcome = Outcome.HOLDS
    for step in STEPS:
        name, what = step.__name__, what_it_checks(step)
        if outcome is not Outcome.HOLDS:
            yield Line(name, what, Outcome.NOT_REACHED)
            outcome = Outcome.NOT_REACHED
            continue
        try:
            step(case)
            yield Line(name, what, Outcome.HOLDS)
        except Refused as refusal:
            outcome = Outcome.REFUSED
            yield Line(name, what, outcome, refusal.reason.value, refusal.detail)
