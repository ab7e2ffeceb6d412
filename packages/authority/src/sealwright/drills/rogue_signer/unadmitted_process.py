"""Start a signer by hand, as whoever has the program can, and ask for admission: it has nothing to show."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sealwright.config import signer_policy
from sealwright.drills.model import Finding
from sealwright.drills.rogue_signer.gate import CONFIG, Control, Gate, judged
from sealwright.supervisor.signer_process import ClientSignerLauncher


def run(gate: Gate) -> Iterator[Finding]:
    """A real process, with the right policy and an identity key of its own."""
    process = ClientSignerLauncher(gate.directory, gate.directory).launch(0, signer_policy(CONFIG, [], 0))
    try:
        who, evidence = process.introduce(secrets.token_bytes(32))
        observed = gate.ask(who, evidence, process.policy_digest)
    finally:
        process.stop()
    attack = "start a signer on an ordinary machine"
    yield judged("2-unadmitted", attack, Control.EVIDENCE_LEVEL, "evidence_too_weak", observed)
