"""A host that stores the ledger and lies about it: each way that it may, and who notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sealwright.drills.lying_ledger.lies import LIES, Told
from sealwright.drills.lying_ledger.observers import NOTHING, Control
from sealwright.drills.lying_ledger.scene import OBSERVERS, Scene
from sealwright.drills.model import Drill, Finding

TITLES = {
    "0": "two honest weeks",
    "1": "edit",
    "2": "reorder",
    "3": "truncate",
    "4": "fork",
    "5": "stale",
    "6": "swap",
    "7": "sign it oneself",
    "8": "drop",
}


def honest(scene: Scene) -> Iterator[Finding]:
    """Nobody cries wolf; else nothing that they say later would mean anything."""
    for observer, said in scene.look(scene.copy()).items():
        attack = "serve two honest weeks: rotations, and a restart of each signer"
        yield Finding(f"0-honest-{observer}", attack, None, NOTHING, said, held=said == NOTHING)


def step(number: int, told: Told) -> Callable[[Scene], Iterator[Finding]]:
    """The step that tells one lie."""

    def run(scene: Scene) -> Iterator[Finding]:
        said = scene.look(told.lie(scene))
        for observer in OBSERVERS:
            control, expected = told.expected.get(observer, (None, NOTHING))
            observed = said[observer]
            name = f"{number}-{told.name}-{observer}"
            yield Finding(name, told.attack, control, expected, observed, held=observed == expected)

    return run


DRILL = Drill(
    name="lying-ledger",
    shows="a host that stores the ledger lies about it in eight ways; who notices which gets a verdict",
    steps=(honest, *(step(number, told) for number, told in enumerate(LIES, 1))),
    controls=tuple(Control),
    titles=TITLES,
    scene="letting two weeks of two signers pass, with a witness and a relying party that watch",
    place=Scene,
)
