"""What the gate keeps about a dump.

May never do: hold content. A record has digests, counts, times and reason codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a dump is on its way."""

    QUARANTINED = "quarantined"
    REDACTED = "redacted"
    RELEASING = "releasing"
    RELEASED = "released"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a dump came from: how it was taken in, and the program that crashed, as far as that is known."""

    route: str  # file, pipe or socket
    program: str = ""
    uid: int = -1
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One dump. Times are ISO 8601, UTC."""

    name: str
    state: State
    origin: Origin
    received: str
    size: int
    sha256: str
    kind: str  # the policy's class
    reason: str = ""
    manifest_sha256: str = ""
    kept_until: str = ""  # a refused dump that still lies in quarantine: the time of its end


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's signed word for one redacted dump."""

    approver: str
    manifest_sha256: str
    signature: str
