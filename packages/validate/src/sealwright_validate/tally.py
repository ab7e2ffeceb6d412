"""What is noted of a validation, and what became of the notes. Values only; may never hold a token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Observation(NamedTuple):
    """One verdict, as cheap to note as can be."""

    at: float
    verdict: str
    signature_valid: bool
    digest: bytes
    kid: str | None
    claims: Mapping[str, Any]
    binding: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the observations so far. `suppressed` are refusals without a valid signature over the
    rate, and the same refusal of the same token within a minute.
    """

    sent: int = 0
    dropped: int = 0
    rejected: int = 0
    suppressed: int = 0
