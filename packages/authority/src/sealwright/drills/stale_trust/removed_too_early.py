"""Step 4: the outage that made a team stop rotating: a key goes while its tokens still live."""

from __future__ import annotations

from collections.abc import Iterator

from sealwright.drills.model import Finding
from sealwright.drills.stale_trust.yard import TTL, Control, Yard, judged, without
from sealwright.keys import rules

STEP = "4-removed"


def run(yard: Yard) -> Iterator[Finding]:
    """A token of the key's last minute is presented shortly before it expires."""
    key = yard.active("enterprise")
    yard.until(key.use_until - rules.HANDOVER - 20)
    token, issued = yard.token("enterprise"), yard.now
    with without(yard, Control.KEPT_TO_THE_END, rules, EARLY=TTL):
        yard.until(issued + TTL - 30)
        observed = yard.verdict(token, "enterprise")
    attack = "rotate, and present the old key's last token in its last minute"
    yield judged(STEP, attack, Control.KEPT_TO_THE_END, "accepted", observed)
    yard.until(yard.now + 120)
