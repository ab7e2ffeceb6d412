"""What a drill finds: one verdict per attack. Pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Control(StrEnum):
    """What stands in an attacker's way; each can be switched off in the sandbox, and then the drill must
    fail.
    """

    PRIVATE_HALF_DESTROYED = "private-half-destroyed"
    REALM_BINDING = "realm-binding"
    KEY_WINDOW = "key-window"
    STRICT_MODE = "strict-mode"
    LEDGER_COMPARISON = "ledger-comparison"
    NO_TOKEN_FOR_TOKEN = "no-token-for-token"  # noqa: S105 - the name of a control
    REVOCATION_PUSH = "revocation-push"
    FAIL_CLOSED = "fail-closed"
    ROLLBACK_PROTECTION = "rollback-protection"
    SIGNER_POLICY = "signer-policy"
    SIGNED_TREE_HEAD = "signed-tree-head"
    FSCK = "fsck"
    START_CHECK = "start-check"


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one attack. `control` is None for a demonstration of the world without Sealwright."""

    step: str
    attack: str
    control: Control | None
    expected: str
    observed: str
    held: bool


@dataclass(frozen=True, slots=True)
class StepResult:
    """A finding with how long it took, in seconds."""

    finding: Finding
    seconds: float


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A whole drill."""

    drill: str
    steps: Sequence[StepResult]

    @property
    def held(self) -> bool:
        """Whether every control held (and every demonstration showed what it says)."""
        return bool(self.steps) and all(step.finding.held for step in self.steps)
