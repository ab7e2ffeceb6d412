"""What a conformance case is: a named token, what is wrong with it, and what a sound relying party does.

May never hold a token without saying how it was made.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, unique

from sealwright_validate.errors import Reason


@unique
class Force(StrEnum):
    """How binding the expectation is."""

    MUST = "must"  # a specification says so, or the opposite is an authentication bypass
    SHOULD = "should"  # best practice (RFC 8725, RFC 9700); a specification leaves it open
    MANIFEST = "manifest"  # can be known only from a key manifest: a plain key set does not say it


@dataclass(frozen=True, slots=True)
class Case:
    """One named token.

    `accept` is what a sound relying party does. `reasons` is what our own validator answers, one of them,
    when it trusts the key manifest. `why` cites the rule.
    """

    name: str
    group: str
    how: str
    token: str
    accept: bool
    reasons: frozenset[Reason] = frozenset()
    force: Force = Force.MUST
    why: str = ""


class Collector:
    """Gathers the cases of one group; a name can be given once."""

    def __init__(self, group: str, why: str) -> None:
        self._group = group
        self._why = why
        self._cases: dict[str, Case] = {}

    def good(self, name: str, how: str, token: str, *, force: Force = Force.MUST) -> None:
        """A token that must be accepted."""
        self._add(Case(name, self._group, how, token, accept=True, force=force, why=self._why))

    def bad(
        self, name: str, how: str, token: str, *reasons: Reason, force: Force = Force.MUST, why: str = ""
    ) -> None:
        """A token that must be refused, with what ours answers."""
        self._add(
            Case(
                name,
                self._group,
                how,
                token,
                accept=False,
                reasons=frozenset(reasons),
                force=force,
                why=why or self._why,
            )
        )

    def _add(self, case: Case) -> None:
        if case.name in self._cases:
            raise ValueError(f"two cases are called {case.name}")
        self._cases[case.name] = case

    def __iter__(self) -> Iterator[Case]:
        return iter(self._cases.values())


def by_name(cases: Iterable[Case]) -> dict[str, Case]:
    """The cases by their names; a name in two groups is a mistake."""
    found: dict[str, Case] = {}
    for case in cases:
        if case.name in found:
            raise ValueError(f"two cases are called {case.name}")
        found[case.name] = case
    return found
