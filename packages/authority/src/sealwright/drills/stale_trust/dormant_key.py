"""Step 1: a key that nobody uses is told of, and one whose time is over is gone."""

from __future__ import annotations

from collections.abc import Iterator

from sealwright.detection import keywatch
from sealwright.drills.model import Finding
from sealwright.drills.stale_trust.yard import Control, Yard, alarm, judged, without
from sealwright.keys import rules
from sealwright.keys.model import Key, KeyState

STEP = "1-dormant"


def run(yard: Yard) -> Iterator[Finding]:
    """Half of its window passes without a token; then all of it and its last token."""
    old = yard.active("consumer")
    genuine = yard.token("consumer")
    idle = yard.active("enterprise")
    yard.until((idle.use_from + idle.use_until) / 2 + 60)
    with without(yard, Control.DORMANT_ALARM, keywatch, _unused=lambda *_given: iter(())):
        attack = "leave a trusted key unused for half of its window"
        yield alarm(yard, f"{STEP}-alarm", attack, Control.DORMANT_ALARM, keywatch.KeyAlarm.KEY_UNUSED)
    with without(yard, Control.RETIREMENT, rules, _settle=_never_retired):
        yard.until(old.verify_until + 60)
        observed = yard.verdict(yard.forged(old, genuine), "consumer")
    attack = "sign with a copy of a key whose last token expired a minute ago"
    yield judged(f"{STEP}-forged", attack, Control.RETIREMENT, "key_retired", observed)


_real = rules._settle  # noqa: SLF001 - the rule that the flaw takes away


def _never_retired(key: Key, *given: object) -> rules.Settle | None:
    settled = _real(key, *given)  # type: ignore[arg-type] # passed on as they came
    return None if settled is not None and settled.state is KeyState.RETIRED else settled
