"""The record that verifiers and policy rules write their checks into.

It may never drop a failure: what is written stays, and a refusal that ends a verifier early is written too.
"""

from collections.abc import Callable
from datetime import datetime

from .errors import FIXES, Code, Refused
from .model import Check, Outcome, Stage


class Checks:
    """Collects checks in order."""

    __slots__ = ("_checks",)

    def __init__(self) -> None:
        self._checks: list[Check] = []

    def expect(
        self,
        stage: Stage,
        field: str,
        code: Code,
        *,
        holds: bool,
        found: object,
        asked: object,
        grace_until: datetime | None = None,
        fix: str = "",
    ) -> bool:
        """Write one check, and return whether it held."""
        outcome = Outcome.PASSED if holds else Outcome.FAILED
        advice = "" if holds else fix or FIXES[code]
        self._checks.append(
            Check(
                stage, field, outcome, code, text(found), text(asked), advice, None if holds else grace_until
            )
        )
        return holds

    def skip(self, stage: Stage, field: str, code: Code, found: object, why: str) -> None:
        """Write down that something was not checked, and why."""
        self._checks.append(Check(stage, field, Outcome.SKIPPED, code, text(found), why))

    def attempt(
        self,
        stage: Stage,
        field: str,
        code: Code,
        asked: str,
        step: Callable[[], object],
        passed: object = "holds",
    ) -> bool:
        """Run a step that raises `Refused` when it fails; write how it ended, return whether it passed."""
        try:
            step()
        except Refused as refusal:
            self.refuse(stage, field, refusal, asked)
            return False
        self._checks.append(Check(stage, field, Outcome.PASSED, code, text(passed), asked))
        return True

    def refuse(self, stage: Stage, field: str, refusal: Refused, asked: str = "") -> None:
        """Write a refusal as a failed check."""
        found = f"{refusal.public} ({refusal.detail})" if refusal.detail else refusal.public
        self._checks.append(
            Check(stage, field, Outcome.FAILED, refusal.code, found, asked, FIXES[refusal.code])
        )

    def all(self) -> tuple[Check, ...]:
        """Return everything written so far."""
        return tuple(self._checks)


def text(value: object) -> str:
    """Return a value the way a result shows it: bytes as hex, collections joined, booleans as yes and no."""
    if isinstance(value, bytes):
        return value.hex() or "(empty)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(sorted(text(item) for item in value)) or "(none)"
    return str(value)
