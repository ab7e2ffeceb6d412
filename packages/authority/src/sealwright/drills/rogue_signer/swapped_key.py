"""Put another identity key under evidence of a genuine machine, after it attested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sealwright_attest as attest
from sealwright.admission.documents import spki_of
from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import IMAGE, Control, Gate, judged
from sealwright_attest.synthetic import snp


def run(gate: Gate) -> Iterator[Finding]:
    """Once with the bundle as it is, once with the thief's key written into it."""
    victim, thief, nonce = gate.newcomer(), gate.newcomer(), gate.nonce()
    stolen = gate.report(victim, nonce, snp.Guest(measurement=IMAGE))
    said = attest.report_data(nonce, spki_of(thief.jwk)).hex()
    attack, control = "show a genuine machine's evidence for a key of one's own", Control.KEY_BINDING
    observed = gate.ask(thief, replace(stolen, binding=said))
    yield judged("7-swapped-key", attack, control, "evidence_not_bound", observed)
    bundle = replace(
        attest.parse_bundle(stolen.evidence.encode()), unverified_identity_key=spki_of(thief.jwk)
    )
    rewritten = replace(stolen, evidence=attest.serialize_bundle(bundle).decode(), binding=said)
    attack = "the same, with the own key written into the bundle"
    yield judged("7-swapped-key-rewritten", attack, control, "binding-mismatch", gate.ask(thief, rewritten))
