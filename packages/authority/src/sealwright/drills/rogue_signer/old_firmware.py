"""Roll the chip's firmware back to a version with a known hole; its endorsement key is genuine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import IMAGE, OLD_TCB, Control, Gate, judged
from sealwright_attest.synthetic import snp


def run(gate: Gate) -> Iterator[Finding]:
    """The report and the chip's certificate agree: only the floor stands in the way."""
    who, old = gate.newcomer(), replace(gate.chip, tcb={**gate.chip.tcb, **OLD_TCB})
    evidence = gate.report(who, gate.nonce(), snp.Guest(measurement=IMAGE), old)
    attack = "roll the chip's firmware back"
    yield judged("4-old-tcb", attack, Control.TCB_FLOOR, "tcb-floor", gate.ask(who, evidence))
