"""Show simulated evidence, by its name and as a report of SEV-SNP."""

from __future__ import annotations

from collections.abc import Iterator

import sealwright_attest as attest
from sealwright.admission.documents import spki_of
from sealwright.admission.model import Evidence
from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import Control, Gate, judged
from sealwright_attest.verifiers.simulated import make_simulated


def run(gate: Gate) -> Iterator[Finding]:
    """Simulated evidence has no signature, so only its name can be lied about."""
    for kind, expected in ((attest.Kind.SIMULATED, "level-too-low"), (attest.Kind.SEV_SNP, "malformed")):
        who, nonce = gate.newcomer(), gate.nonce()
        key = spki_of(who.jwk)
        bound = attest.report_data(nonce, key)
        bundle = attest.Evidence(kind, make_simulated(bound, bytes(48)), unverified_identity_key=key)
        text = attest.serialize_bundle(bundle).decode()
        observed = gate.ask(who, Evidence(str(kind), text, bound.hex(), nonce.hex()))
        attack = f"show simulated evidence as {kind}"
        yield judged(f"8-simulated-{kind}", attack, Control.SIMULATED_REFUSED, expected, observed)
