"""A key leaks into a crash dump and somebody wants the dump outside: what finds it, and what keeps it in."""

from __future__ import annotations

from sealwright.drills.crash_dump import gate_attacks, signer_memory
from sealwright.drills.crash_dump.ground import Control, Ground
from sealwright.drills.model import Drill

DRILL = Drill(
    name="crash-dump",
    shows="keys are left in dumps on purpose, the redactor is raced, dumps are smuggled past the gate",
    steps=(signer_memory.run, signer_memory.crash, *gate_attacks.STEPS),
    controls=tuple(Control),
    titles={
        "1": "dumps of the signer",
        "2": "dumps of programs that hold our keys",
        "3": "the gate",
    },
    scene="an ordinary signer, and a gate with keys, people and folders of its own",
    place=Ground,
)
