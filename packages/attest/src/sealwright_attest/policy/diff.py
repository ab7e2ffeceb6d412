"""The difference of two policies: which rules differ, and which stored evidence they would judge differently.

It may never change anything: it is what a person reads before a policy is replaced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sealwright_attest.appraise import appraise
from sealwright_attest.model import Check, Evidence, Outcome, Verdict
from sealwright_attest.policy.document import Policy


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One rule that differs, as a dotted name with both values."""

    rule: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """How both policies judge one piece of evidence, and the checks that fail under one of them only."""

    name: str
    before: Verdict
    after: Verdict
    no_longer_failing: tuple[Check, ...]
    newly_failing: tuple[Check, ...]


def _flat(value: object, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        found: dict[str, Any] = {}
        for name, inner in value.items():
            found |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
        return found
    return {prefix: value}


def rule_changes(before: Policy, after: Policy) -> tuple[RuleChange, ...]:
    """Return the rules that differ, by name; a rule that one of them lacks has the value None there."""
    old, new = _flat(before.as_table()), _flat(after.as_table())
    return tuple(
        RuleChange(name, old.get(name), new.get(name))
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name)
    )


def verdict_change(
    name: str, evidence: Evidence, policies: tuple[Policy, Policy], nonce: bytes | None, now: datetime
) -> VerdictChange:
    """Return how the two policies judge stored evidence with the nonce and at the time that were recorded
    with it.
    """
    old, new = (appraise(evidence, nonce=nonce, policy=policy, now=now) for policy in policies)

    def failed(checks: Iterable[Check]) -> dict[tuple[str, str], Check]:
        return {(one.field, one.code): one for one in checks if one.outcome is Outcome.FAILED}

    first, second = failed(old.checks), failed(new.checks)
    return VerdictChange(
        name,
        old.verdict,
        new.verdict,
        tuple(one for key, one in first.items() if key not in second),
        tuple(one for key, one in second.items() if key not in first),
    )
