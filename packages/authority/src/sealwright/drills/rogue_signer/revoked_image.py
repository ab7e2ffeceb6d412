"""Start an image that was allowed once and is known to have a hole."""

from __future__ import annotations

from collections.abc import Iterator

from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import HOLED_IMAGE, Control, Gate, judged
from sealwright_attest.synthetic import snp


def run(gate: Gate) -> Iterator[Finding]:
    """The image is still on the list of allowed ones; the list of revoked ones goes before."""
    who = gate.newcomer()
    observed = gate.ask(who, gate.report(who, gate.nonce(), snp.Guest(measurement=HOLED_IMAGE)))
    attack = "start an old image with a known hole"
    yield judged("5-revoked", attack, Control.REVOCATION_LIST, "measurement-revoked", observed)
