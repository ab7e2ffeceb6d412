"""Run the right image with debug allowed, so that the host can read its memory."""

from __future__ import annotations

from collections.abc import Iterator

from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import IMAGE, Control, Gate, judged
from sealwright_attest.synthetic import snp


def run(gate: Gate) -> Iterator[Finding]:
    """The guest policy's debug bit is in the signed report."""
    who = gate.newcomer()
    guest = snp.Guest(measurement=IMAGE, policy=snp.PLAIN_POLICY | snp.DEBUG)
    observed = gate.ask(who, gate.report(who, gate.nonce(), guest))
    attack = "run the right image in a machine with debug"
    yield judged("3-debug", attack, Control.DEBUG_REFUSED, "debug", observed)
