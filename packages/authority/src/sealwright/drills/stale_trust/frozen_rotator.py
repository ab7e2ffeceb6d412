"""Step 3: nobody rotates any more. An alarm comes first, then authority and signer stop issuing."""

from __future__ import annotations

from collections.abc import Iterator

from sealwright.detection import keywatch
from sealwright.drills.model import Finding
from sealwright.drills.stale_trust.yard import Control, Yard, alarm, judged, without
from sealwright.errors import Refused, Unavailable
from sealwright.keys.model import Key
from sealwright.keys.rules import HANDOVER

STEP = "3-frozen"


class _Stopped:
    """A clock that stands still."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        """The moment at which it stopped."""
        return self._now


def run(yard: Yard) -> Iterator[Finding]:
    """Time passes, and the rotator does not run."""
    key = yard.active("enterprise")
    due = key.use_until - HANDOVER - yard.world.config.keys.lead
    if yard.now >= due - 60:
        yard.until(key.use_until + 60)
        key = yard.active("enterprise")
        due = key.use_until - HANDOVER - yard.world.config.keys.lead
    yard.until(due - 60)
    stopped = _Stopped(yard.now)
    yard.at(due + keywatch.OVERDUE + 1, rotates=False)
    with without(yard, Control.OVERDUE_ALARM, keywatch, _overdue=lambda *_given: iter(())):
        attack = "freeze the rotator"
        code = keywatch.KeyAlarm.ROTATION_OVERDUE
        yield alarm(yard, f"{STEP}-alarm", attack, Control.OVERDUE_ALARM, code, ["seconds_left"])
    if Control.SIGNER_WINDOW in yard.flaws:
        vars(yard.signer.signer)["_clock"] = stopped.now
    yard.at(key.use_until + 1, rotates=False)
    yield _issuing(yard, stopped)
    yield _signing(yard, key)
    vars(yard.signer.signer)["_clock"] = yard.world.clock.now
    yard.at(yard.now + 1)


def _issuing(yard: Yard, stopped: _Stopped) -> Finding:
    service = vars(yard.world.service)
    clock = service["_clock"]
    if Control.ISSUING_STOPS in yard.flaws:
        service["_clock"] = stopped
    try:
        _, key = yard.world.service.signing_key("enterprise")
        observed = f"issues with a key that is {int(yard.now - key.use_from)} s old"
    except Unavailable as error:
        observed = error.code
    finally:
        service["_clock"] = clock
    attack = "ask for a token when the last key has reached its maximum age"
    return judged(f"{STEP}-issuing", attack, Control.ISSUING_STOPS, "no_active_key", observed)


def _signing(yard: Yard, key: Key) -> Finding:
    async def ask() -> str:
        try:
            [result] = await yard.signer.sign([yard.request(key)], [b""], lambda: None)
        except Refused as error:
            return error.code
        return result["refused"] if isinstance(result, dict) else "signed"

    attack = "ask the signer itself, past the authority"
    return judged(f"{STEP}-signer", attack, Control.SIGNER_WINDOW, "key_outside_window", yard.do(ask()))
