"""The monitor of the drill: the real one, over files instead of HTTP. It read everything on day ten."""

from __future__ import annotations

from sealwright.drills.lying_ledger.host import Host
from sealwright.drills.lying_ledger.observers import NOTHING, Control
from sealwright.ledger.follow import Follower
from sealwright.monitor.model import Code
from sealwright.monitor.service import Monitor, Rules
from sealwright_validate.clock import FixedClock
from sealwright_validate.fetch import Answer

OK, NOT_FOUND = 200, 404
CONSEQUENCES = {Code.LOG_STOPPED, Code.UNEXPECTED_KEY, Code.UNLOGGED_MANIFEST, Code.UNKNOWN_INCARNATION}
"""What a monitor says as well while a log cannot be read: it then misses what that log would have told."""
RULES = Rules(grace=0.0, quiet_after=1e9, closed_again=0.0, again=1_000_000)
"""No grace: virtual time stands still within a round."""


class _Served:
    """What a host serves, as an HTTP client would get it."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def __call__(self, path: str) -> Answer:
        if path == "/manifest":
            return Answer(OK, {}, self.host.manifest)
        file = self.host.state / path.lstrip("/")
        if not path.startswith("/ledger/") or not file.is_file():
            return Answer(NOT_FOUND, {}, b"")
        return Answer(OK, {}, file.read_bytes())


def monitor(early: tuple[Host, float], host: Host, now: float, flaws: frozenset[str]) -> str:
    """What a monitor says to a host, after it has read what was there on day ten."""
    if Control.MONITOR in flaws:
        return NOTHING
    served, clock = _Served(early[0]), FixedClock(early[1])
    root = (host.state / "trust" / "root.json").read_bytes()
    watching = Monitor(Follower(served, root, clock=clock), RULES, clock=clock)
    try:
        watching.round()
        clock.advance(now - clock.wall())
        served.host = host
        alarms = watching.round()
    finally:
        watching.close()
    codes = {alarm.code for alarm in alarms}
    return " ".join(sorted(codes - CONSEQUENCES or codes)) or NOTHING
