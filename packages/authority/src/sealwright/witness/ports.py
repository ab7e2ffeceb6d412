"""What a witness needs from outside: durable heads, and the logs that it cosigns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sealwright.witness.model import Cosigned, KnownLog


class WitnessStore(Protocol):
    """One head for each origin. What `put` has returned from survives a crash; nothing is half written."""

    def get(self, origin: str) -> Cosigned | None:
        """The newest head, None before the first.

        Raises:
            Misconfigured: `witness_state`: what is there is not what this witness wrote.
        """
        ...

    def put(self, cosigned: Cosigned) -> None:
        """Replace the head.

        Raises:
            Unavailable: `witness_store`: it is not durable.
        """
        ...

    def keep_evidence(self, origin: str, text: str, *, proven: bool) -> None:
        """Keep two heads that do not fit. Bounded, and what is proven is never crowded out by the rest."""
        ...

    def evidence(self, origin: str) -> tuple[int, int]:
        """How much is kept: proven, and suspected."""
        ...


class LogBook(Protocol):
    """The logs that are cosigned."""

    def find(self, origin: str) -> KnownLog | None:
        """The log of this origin. May look for it anew, within bounds."""
        ...

    def known(self) -> Mapping[str, KnownLog]:
        """Every log by its origin."""
        ...
