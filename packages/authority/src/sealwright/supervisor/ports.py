"""What the supervisor needs from outside: parts to supervise, signer processes, somebody to tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sealwright.admission.model import Candidate, Evidence


class Part(Protocol):
    """Something that is started, watched and ended. Methods are called from one thread."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process while there is one."""
        ...

    def prepare(self) -> None:
        """Make sure, before anything is started, that nothing stands in its way.

        Raises:
            Misconfigured: something does, with what to do about it.
        """
        ...

    def start(self) -> None:
        """Start it. Returns at once or after a moment; `ready` tells when it serves.

        Raises:
            SealwrightError: it cannot be started, with what to do about it.
        """
        ...

    def ready(self) -> bool:
        """Whether it serves."""
        ...

    def ended(self) -> str | None:
        """How it ended, for people; None while it runs."""
        ...

    def tend(self) -> None:
        """What must be done for it from time to time while it is up."""
        ...

    def bury(self) -> None:
        """It has ended: remove what it leaves behind."""
        ...

    def stop(self) -> None:
        """End it, by force when it does not end in time, and bury it. Does nothing when there is none."""
        ...

    def last_words(self) -> str:
        """The end of its log, for the message when it does not start."""
        ...


class SignerProcess(Protocol):
    """A running signer."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    @property
    def socket(self) -> Path:
        """Where it listens."""
        ...

    @property
    def policy_digest(self) -> str:
        """Hex SHA-256 of the policy document that it was given."""
        ...

    def ended(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        ...

    def reachable(self) -> bool:
        """Whether it can be asked already; one on another host cannot at first."""
        ...

    def introduce(self, nonce: bytes) -> tuple[Candidate, Evidence]:
        """Who it says it is, and evidence that is bound to `nonce`.

        Raises:
            Unavailable: it does not answer.
            Refused: it answers nonsense.
        """
        ...

    def release(self, sealed: bytes) -> None:
        """Hand over a secret that is encrypted to the key in its last evidence.

        Raises:
            Unavailable: it does not answer.
            Refused: it cannot use it.
        """
        ...

    def stop(self) -> None:
        """End it, by force when it does not end in time."""
        ...


class SignerLauncher(Protocol):
    """Starts signers."""

    def launch(self, slot: int, policy: Mapping[str, Any]) -> SignerProcess:
        """Start one with this policy.

        Raises:
            Misconfigured: it cannot be started on this host or at this path.
        """
        ...


class Reporter(Protocol):
    """Tells people what happens."""

    def up(self, part: str, pid: int | None, seconds: float, *, again: bool) -> None:
        """A part serves; `again` when it was restarted."""
        ...

    def died(self, part: str, how: str, delay: float) -> None:
        """A part ended unasked; it is started again after `delay` seconds."""
        ...

    def stopped(self, part: str) -> None:
        """A part was ended because everything is."""
        ...
