"""What a drill finds: one verdict per attack. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol


class Control(StrEnum):
    """What stands in the way of the attack of 2023; each can be switched off in the sandbox, and then the
    drill must fail. Other drills name their own.
    """

    PRIVATE_HALF_DESTROYED = "private-half-destroyed"
    REALM_BINDING = "realm-binding"
    KEY_WINDOW = "key-window"
    STRICT_MODE = "strict-mode"
    LEDGER_COMPARISON = "ledger-comparison"
    NO_TOKEN_FOR_TOKEN = "no-token-for-token"  # noqa: S105 - the name of a control
    BLAST_RADIUS = "blast-radius"
    RESPONSE_RULE = "response-rule"
    REVOCATION_PUSH = "revocation-push"
    SHARED_SIGNALS = "shared-signals"
    FAIL_CLOSED = "fail-closed"
    ROLLBACK_PROTECTION = "rollback-protection"
    TENANT_SEPARATION = "tenant-separation"
    NOTICE_APPROVAL = "notice-approval"
    REPLACEMENT_KEY = "replacement-key"
    SIGNER_POLICY = "signer-policy"
    SIGNED_TREE_HEAD = "signed-tree-head"
    FSCK = "fsck"
    START_CHECK = "start-check"


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one attack. `control` is None for a demonstration of the world without Sealwright."""

    step: str
    attack: str
    control: StrEnum | None
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
    def seconds(self) -> float:
        """How long the whole of it took."""
        return sum(step.seconds for step in self.steps)

    @property
    def held(self) -> bool:
        """Whether every control held (and every demonstration showed what it says)."""
        return bool(self.steps) and all(step.finding.held for step in self.steps)


class Place(Protocol):
    """Where a drill is carried out; removed afterwards, whatever happens."""

    def start(self) -> None:
        """Make everything ready for the first step."""
        ...

    def stop(self) -> None:
        """End everything that was started."""
        ...

    def remove(self) -> None:
        """Delete the state."""
        ...


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill: what it shows, its steps in order, its controls, chapter titles by the steps' first part.

    `place` makes the place from an empty directory and the controls to switch off.
    """

    name: str
    shows: str
    steps: Sequence[Callable[[Any], Iterator[Finding]]]
    controls: Collection[StrEnum]
    titles: Mapping[str, str]
    scene: str
    place: Callable[[Path, Collection[str]], Place]
