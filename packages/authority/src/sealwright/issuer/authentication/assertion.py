"""What the checks of a client assertion need beside the assertion."""

from __future__ import annotations

from dataclasses import dataclass

from sealwright.issuer.ports import ReplayStore


@dataclass(frozen=True, slots=True)
class AssertionContext:
    """Values of one token endpoint.

    Args:
        audiences: what `aud` may be: the issuer or the token endpoint's URL (RFC 7523 §3).
        replay: assertions that were used.
        now: seconds since 1970.
    """

    audiences: tuple[str, ...]
    replay: ReplayStore
    now: float
