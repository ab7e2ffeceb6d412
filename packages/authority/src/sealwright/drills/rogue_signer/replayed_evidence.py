"""Show evidence that was genuine once, for a nonce that was asked for before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sealwright.admission.documents import spki_of
from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import IMAGE, Control, Gate, judged
from sealwright_attest import report_data
from sealwright_attest.synthetic import snp


def run(gate: Gate) -> Iterator[Finding]:
    """Recorded at one question, shown at the next."""
    who = gate.newcomer()
    recorded = gate.report(who, gate.nonce(), snp.Guest(measurement=IMAGE))
    asked = gate.nonce()
    said = report_data(asked, spki_of(who.jwk)).hex()
    observed = gate.ask(who, replace(recorded, nonce=asked.hex(), binding=said))
    attack = "replay evidence that was recorded before"
    yield judged("6-replay", attack, Control.FRESH_NONCE, "binding-mismatch", observed)
