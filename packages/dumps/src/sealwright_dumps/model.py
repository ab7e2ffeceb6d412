"""What the scanner finds and says.

May never do: hold a secret. A finding names where and what, never the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Confidence(StrEnum):
    """How sure a finding is."""

    CONFIRMED = "confirmed"  # arithmetic or a keyed digest proves it (p*q = n, d*G = Q, MAC equal)
    LIKELY = "likely"  # the structure is complete, nothing to prove it with (encrypted, truncated, opaque)
    POSSIBLE = "possible"  # the shape only


class Status(StrEnum):
    """What happened to one scanned object."""

    SCANNED = "scanned"
    PARTIAL = "partial"
    NOT_SCANNABLE = "not-scannable"


@dataclass(frozen=True, slots=True)
class Hit:
    """Key material in one buffer: `start` and `end` are offsets in that buffer."""

    detector: str
    kind: str
    form: str
    algorithm: str
    confidence: Confidence
    start: int
    end: int
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Key material in one object. `offset` and `length` are bytes in the outermost file."""

    detector: str
    kind: str
    form: str
    algorithm: str
    confidence: Confidence
    offset: int
    length: int
    key_id: str = ""
    segment: str = ""
    container: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectReport:
    """The account of one scanned file: every byte is read, sparse or skipped."""

    path: str
    format: str
    size: int
    bytes_read: int
    bytes_skipped: int
    status: Status
    findings: tuple[Finding, ...] = ()
    reasons: tuple[str, ...] = ()
    bytes_sparse: int = 0  # holes of a sparse file: known to be zero without reading


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The account of one run."""

    engine: str
    objects: tuple[ObjectReport, ...] = ()
    seconds: float = 0.0
    skipped_detectors: tuple[str, ...] = field(default=())

    @property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """All findings with the path of the object that holds them."""
        return tuple((report.path, finding) for report in self.objects for finding in report.findings)
