"""What the admission room needs from outside: appraisal of evidence, durable admissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sealwright.admission.model import Admission, Appraisal, Candidate, Evidence, RevokedImage, StandingPolicy

Note = Callable[[str, str, dict[str, Any]], None]
"""(action, subject, details): keeps one entry of the audit trail; durable when it returns."""


class Appraiser(Protocol):
    """Judges evidence. Quote formats are parsed by `sealwright_attest` behind this port, never in this
    room.
    """

    def appraise(self, candidate: Candidate, evidence: Evidence, now: float) -> Appraisal:
        """What the evidence is worth.

        Raises: Refused: it is worth nothing: malformed, for another key, for another nonce, or of an unknown
            kind.
        """
        ...


class AdmissionStore(Protocol):
    """Durable admissions. Every write is one transaction and is durable when it returns."""

    def get(self, log_id: str) -> Admission | None:
        """An admission, closed or not."""
        ...

    def open(self) -> list[Admission]:
        """Admissions whose log is not closed, oldest first."""
        ...

    def add(self, admission: Admission) -> None:
        """Insert one. `already_admitted` when the log was ever admitted."""
        ...

    def renew(self, admission: Admission) -> None:
        """Replace statement, result, level and times of an open one. `not_open` when it is closed or
        unknown.
        """
        ...

    def close(self, log_id: str, at: int) -> None:
        """Close its log for good (seconds since 1970). Closing a closed one changes nothing."""
        ...


class StandingStore(Protocol):
    """Durable policies and revoked images. Every write is durable when it returns."""

    def latest(self) -> StandingPolicy | None:
        """The one in force."""
        ...

    def history(self) -> list[StandingPolicy]:
        """Every policy that came into force, oldest first."""
        ...

    def add(self, policy: StandingPolicy) -> None:
        """Put one in force. `policy_moved` when its number is taken."""
        ...

    def revoked(self) -> list[RevokedImage]:
        """Revoked images, oldest first."""
        ...

    def revoke(self, image: RevokedImage) -> None:
        """Keep one. `already_revoked` when it is there."""
        ...
