"""What a target is, and what it may say of a token.

May never judge: whether a verdict is right is decided in grade.py.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Protocol


@unique
class Verdict(StrEnum):
    """What a relying party did with a token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    CRASHED = "crashed"  # it did not accept, but by a fault that its caller would not expect
    NOT_SENT = "not sent"  # the token cannot travel this way (a line feed in a header)


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict with what the target said about it."""

    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every target is configured with. `jwks` is what the issuer publishes, as an object.

    `now` is for targets that can be told the time; the others go by the clock.
    """

    issuer: str
    audience: str
    realm: str
    token_type: str
    algorithms: tuple[str, ...]
    jwks: dict[str, Any]
    root: bytes
    served: bytes
    jwks_uri: str
    now: float | None = None


class Target(Protocol):
    """A relying party under test."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def version(self) -> str:
        """Its version, or an empty text."""

    @property
    def knows_manifest(self) -> bool:
        """Whether it trusts the key manifest, so that cases of that force apply to it."""

    def judge(self, token: str) -> Said:
        """Put one token to it."""

    def close(self) -> None:
        """Let it go."""


class TargetAbsentError(Exception):
    """A target cannot be used here; the message says what is missing."""
