"""What the checks of a client assertion need beside the assertion."""

from __future__ import annotations

from dataclasses import dataclass

from sealwright.clock import Clock
from sealwright.issuer.ports import ReplayStore


@dataclass(frozen=True, slots=True)
class AssertionContext:
    """Values of one token endpoint.

    Args:
        audiences: what `aud` may be: the issuer or the token endpoint's URL (RFC 7523 §3).
        replay: assertions that were used.
        clock: what time it is.
    """

    audiences: tuple[str, ...]
    replay: ReplayStore
    clock: Clock
