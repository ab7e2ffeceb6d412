"""The attacks of `sealwright_dumps` as steps of a drill: each is carried out there and judged there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sealwright.drills.crash_dump.ground import Control, Ground
from sealwright.drills.model import Finding
from sealwright.errors import Unavailable
from sealwright_dumps.drill import attacks
from sealwright_dumps.drill.attacks import Attack
from sealwright_dumps.errors import DumpsError

HELD = "stopped, and said why"
_LEAKS = 2
"""The first attacks leave a key in a dump; the others are on the gate."""


def _step(attack: Attack, number: int) -> Callable[[Ground], Iterator[Finding]]:
    chapter = 2 if number < _LEAKS else 3
    name = f"{chapter}-{attack.__name__.replace('_', '-')}"

    def run(ground: Ground) -> Iterator[Finding]:
        if ground.site is None:
            raise Unavailable("no_keys", "the drill has no keys")
        try:
            verdict = attacks.carry_out(attack, ground.directory, ground.site, ground.flaws)
        except DumpsError as error:
            raise Unavailable("drill_stuck", f"{name}: {error}") from error
        yield Finding(name, verdict.attack, Control(verdict.control), HELD, verdict.detail, verdict.held)

    return run


STEPS = tuple(_step(attack, number) for number, attack in enumerate(attacks.ATTACKS))
