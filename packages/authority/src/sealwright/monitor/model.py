"""What a monitor speaks of: alarms, and how each log stands. Values only (docs/formats/monitor.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """Stable codes of alarms."""

    MANIFEST_REFUSED = "manifest_refused"
    LOG_LIST_REFUSED = "log_list_refused"
    UNLOGGED_MANIFEST = "unlogged_manifest"
    UNKNOWN_INCARNATION = "unknown_incarnation"
    UNEXPECTED_KEY = "unexpected_key"
    TOKEN_OUTSIDE_WINDOW = "token_outside_window"  # noqa: S105 - a code, no password
    MALFORMED_LEAF = "malformed_leaf"
    CHECKPOINT_REFUSED = "checkpoint_refused"
    ROLLBACK = "rollback"
    SPLIT_VIEW = "split_view"
    ENTRY_EDITED = "entry_edited"
    TREE_DAMAGED = "tree_damaged"
    TILE_EDITED = "tile_edited"
    GAP = "gap"
    LOG_VANISHED = "log_vanished"
    CLOSED_LOG_CHANGED = "closed_log_changed"
    LOG_STOPPED = "log_stopped"
    NOT_WITNESSED = "not_witnessed"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit. `subject` tells two findings of one code apart."""

    code: Code
    detail: str
    index: int | None = None
    subject: str = ""


class Broken(Exception):
    """A log, or what is served of it, is not what it must be; it is not read further in this round."""

    def __init__(self, code: Code, detail: str, index: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.finding = Finding(code, detail, index)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding, where and when: `at` is seconds since 1970, `log_id` empty where no log is concerned."""

    at: float
    code: Code
    log_id: str
    index: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class LogView:
    """How one log stands. `size` is that of the newest signed head, `verified` what was read and fits."""

    log_id: str
    origin: str
    evidence: str
    open: bool
    size: int
    verified: int
    state: str


@dataclass(slots=True)
class Tally:
    """What was read since the start."""

    leaves: int = 0
    tokens: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a monitor has to say now. `seconds` is how long it has been reading."""

    logs: list[LogView]
    tally: Tally
    seconds: float
    alarms: list[Alarm] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether there is no alarm."""
        return not self.alarms
