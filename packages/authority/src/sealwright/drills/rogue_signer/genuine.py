"""The gate lets the right signer in; else nothing that it refuses would mean anything."""

from __future__ import annotations

from collections.abc import Iterator

from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import ADMITTED, IMAGE, Gate
from sealwright_attest.synthetic import snp


def run(gate: Gate) -> Iterator[Finding]:
    """Ask for admission with genuine evidence of the right image."""
    who = gate.newcomer()
    observed = gate.ask(who, gate.report(who, gate.nonce(), snp.Guest(measurement=IMAGE)))
    expected = f"{ADMITTED}hardware"
    attack = "the right image on the right chip asks for admission"
    yield Finding("1-genuine", attack, None, expected, observed, held=observed == expected)
