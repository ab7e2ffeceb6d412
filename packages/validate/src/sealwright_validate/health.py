"""What a validator knows and has done, for health checks and metrics. May never hold anything of a token."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sealwright_validate.tally import Tally
from sealwright_validate.trust import Trust

if TYPE_CHECKING:
    from sealwright_validate.observe import Observer


@dataclass(frozen=True, slots=True)
class Health:
    """`ready` says whether tokens can be accepted now. Ages are in seconds; None where nothing was verified
    yet.
    """

    ready: bool
    mode: str
    trust: str
    manifest_version: int | None
    manifest_age: float | None
    expires_in: float | None
    keys: int
    last_refusal: str | None
    cached_tokens: int
    observations: Tally

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def health_of(trust: Trust, mode: str, cached: int, observer: "Observer | None") -> Health:
    """The state of a trust and of the reporting at this moment."""
    held, refusal = trust.held, trust.last_refusal
    wall, moment = trust.clock.wall(), trust.clock.monotonic()
    return Health(
        ready=held is not None and held.is_fresh(wall, moment),
        mode=mode,
        trust=trust.url,
        manifest_version=held.snapshot.version if held else None,
        manifest_age=moment - held.received_at if held else None,
        expires_in=min(held.snapshot.expires_at - wall, held.fresh_until - moment) if held else None,
        keys=len(held.snapshot.keys) if held else 0,
        last_refusal=refusal.reason.value if refusal else None,
        cached_tokens=cached,
        observations=observer.tally if observer else Tally(),
    )
