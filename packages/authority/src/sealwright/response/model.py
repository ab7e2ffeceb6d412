"""Response rules, what they decide, and what came of it, as values. Times are unix seconds."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from sealwright.admin.model import Action
from sealwright.detection.model import Severity


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """A token (`value` is its digest: hex SHA-256 of the signing input) or key (its kid) that was planted.

    `planted_at` is unix seconds.
    """

    kind: str
    value: str
    planted_at: float
    note: str = ""


class Mode(StrEnum):
    """How far a rule may go."""

    OFF = "off"
    SUGGEST = "suggest"
    ACT = "act"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When an alarm with one of these codes comes, do this to what it names.

    `most` is how often the rule may act within `within` seconds; beyond that it only suggests, because a
    detector gone wrong must not switch the service off.
    """

    name: str
    codes: frozenset[str]
    least_severity: Severity
    action: Action
    mode: Mode = Mode.SUGGEST
    most: int = 2
    within: float = 3_600.0


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an action would touch right now: the blast radius of the cure."""

    live_tokens: int
    clients: int
    tenants: int
    note: str = ""


class Outcome(StrEnum):
    """What became of a decision."""

    SUGGESTED = "suggested"
    LIMITED = "limited"
    ACTED = "acted"
    FAILED = "failed"
    REVERSED = "reversed"
    """Was acted, and taken back by an operator."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's answer to one alarm: `mode` is what the rule may do now, after its limit."""

    rule: str
    action: Action
    subject: str
    alarm_id: str
    code: str
    mode: Mode
    limited: bool = False


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with its preview and outcome, as it is kept. One for each action and subject while it
    stands.
    """

    id: str
    at: float
    decision: Decision
    preview: Preview
    outcome: Outcome
    detail: str = ""
