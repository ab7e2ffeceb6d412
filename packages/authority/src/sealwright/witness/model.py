"""What a witness speaks of: a submission, the head that it cosigned last. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from sealwright_validate.keyset import LogKey
from sealwright_validate.note import Checkpoint


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to cosign: nothing of it is verified. `old` is the size that the proof begins at."""

    old: int
    proof: tuple[bytes, ...]
    unverified_note: str


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The newest head of one log that this witness cosigned, with the note as it was given out.

    `at` is the time of the cosignature, seconds since 1970.
    """

    head: Checkpoint
    note: str
    at: int


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log that is cosigned. `is_open` is None where nothing says whether it still grows."""

    key: LogKey
    is_open: bool | None = None


@dataclass(frozen=True, slots=True)
class LogStanding:
    """One log for the status page: times in seconds since 1970, and how many pairs of heads are kept that
    prove a fork, or make one suspect.
    """

    origin: str
    size: int
    cosigned_at: int | None
    stale: bool
    proven: int
    suspected: int
