"""The gate of this drill: a real admission room, a synthetic chip maker that it trusts, and flaws on request.

The roots are made for one run and thrown away; no configuration can select them.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

import sealwright_attest as attest
from sealwright.admission.attested import AttestedAppraiser
from sealwright.admission.documents import (
    ADMISSION_TYPE,
    log_id_of,
    new_private_key,
    public_jwk,
    read_signer,
    spki_of,
)
from sealwright.admission.model import (
    Admission,
    AdmissionPolicy,
    Appraisal,
    Candidate,
    Evidence,
    EvidenceLevel,
)
from sealwright.admission.service import Admitter
from sealwright.clock import SystemClock
from sealwright.config import Config, StateConfig, origin_prefix
from sealwright.drills.model import Finding
from sealwright.errors import Refused
from sealwright.wiring.stores import Stores
from sealwright_attest.policy.document import AllowedMeasurement, RevokedMeasurement, TcbFloor
from sealwright_attest.synthetic import snp
from sealwright_attest.synthetic.world import World, new_world

CONFIG = Config()
PREFIX, POLICY_DIGEST = origin_prefix(CONFIG), "ab" * 32
NONCE_BYTES = 32
IMAGE, HOLED_IMAGE = b"\x51" * 48, b"\x52" * 48
OLD_TCB = {"snp": 8}
ADMITTED = "admitted as "


class Control(StrEnum):
    """What a rogue signer has to get past; each can be switched off, and then the drill must fail."""

    EVIDENCE_LEVEL = "evidence-level"
    DEBUG_REFUSED = "debug-refused"
    TCB_FLOOR = "tcb-floor"
    REVOCATION_LIST = "revocation-list"
    FRESH_NONCE = "fresh-nonce"
    KEY_BINDING = "key-binding"
    SIMULATED_REFUSED = "simulated-refused"
    ADMITTED_ONLY = "admitted-only"
    EVIDENCE_DEMANDED = "evidence-demanded"


class _Unbound:
    """An appraiser that believes the key which the evidence names, instead of the signer's own."""

    def __init__(self, inner: AttestedAppraiser) -> None:
        self._inner = inner

    def appraise(self, candidate: Candidate, evidence: Evidence, now: float) -> Appraisal:
        """As the real one, for whoever the evidence says it is about."""
        if not evidence.evidence:
            return self._inner.appraise(candidate, evidence, now)
        named = attest.parse_bundle(evidence.evidence.encode()).unverified_identity_key
        believed = public_jwk_of(named) if named else candidate.jwk
        return self._inner.appraise(replace(candidate, jwk=believed), evidence, now)


def public_jwk_of(spki: bytes) -> dict[str, str]:
    """The JWK of an Ed25519 key in DER."""
    return public_jwk(Ed25519PublicKey.from_public_bytes(spki[-32:]))


class Gate:
    """An admission room for signers on SEV-SNP of one synthetic maker.

    Args:
        directory: removed at the end.
        disabled: controls to switch off.
    """

    def __init__(self, directory: Path, disabled: Collection[str]) -> None:
        self.directory = directory
        self.flaws = frozenset(disabled)
        self.clock = SystemClock()
        self.world: World = new_world()
        self.chip = self.world.amd["Genoa"]
        config = msgspec.structs.replace(CONFIG, state=StateConfig(directory=str(directory)))
        self.store = Stores.open(config, self.clock).admissions
        self.key = read_signer(ADMISSION_TYPE, new_private_key(), "the drill's key")
        self._admitter = self._make()
        self._nonces = 0

    def start(self) -> None:
        """Nothing runs until a step starts it."""

    def stop(self) -> None:
        """Every step ends what it started."""

    def remove(self) -> None:
        """Delete the state."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def policy(self) -> attest.Policy:
        """What is asked of a signer: this maker, these images, no debug, no old firmware."""
        off, built_in = self.flaws, attest.BUILT_IN
        holed = RevokedMeasurement(HOLED_IMAGE.hex(), "this image lets anyone read its memory")
        measurements = replace(
            built_in.measurements,
            any=False,
            allow=(
                AllowedMeasurement(IMAGE.hex(), "signer"),
                AllowedMeasurement(HOLED_IMAGE.hex(), "signer, old"),
            ),
            revoked=() if Control.REVOCATION_LIST in off else (holed,),
        )
        floor = {"snp": self.chip.tcb["snp"]}
        floors = {} if Control.TCB_FLOOR in off else {"Genoa": TcbFloor(reported=floor, committed=floor)}
        rules = replace(built_in.snp, debug=Control.DEBUG_REFUSED in off, tcb=floors)
        simulated = Control.SIMULATED_REFUSED in off
        return replace(
            built_in,
            name="rogue-signer",
            platforms=(attest.Kind.SEV_SNP, *((attest.Kind.SIMULATED,) if simulated else ())),
            level=attest.EvidenceLevel.SIMULATED if simulated else attest.EvidenceLevel.HARDWARE,
            measurements=replace(measurements, any=simulated),
            snp=rules,
        )

    def _make(self) -> Admitter:
        level = EvidenceLevel.HARDWARE
        if Control.SIMULATED_REFUSED in self.flaws:
            level = EvidenceLevel.SIMULATED
        if Control.EVIDENCE_LEVEL in self.flaws:
            level = EvidenceLevel.NONE
        policy = self.policy()
        asked = AdmissionPolicy(level, 3_600, appraisal=policy.hash())
        real = AttestedAppraiser(policy, self.world.appraise)
        appraiser = _Unbound(real) if Control.KEY_BINDING in self.flaws else real
        return Admitter(self.key, asked, appraiser, self.store, self.clock, PREFIX)

    def nonce(self) -> bytes:
        """A nonce that was never given out; always the same where that control is off."""
        if Control.FRESH_NONCE not in self.flaws:
            self._nonces += 1
        return self._nonces.to_bytes(NONCE_BYTES, "big")

    @staticmethod
    def newcomer() -> Candidate:
        """A signer with an identity key of its own."""
        jwk = public_jwk(Ed25519PrivateKey.generate().public_key())
        return Candidate(log_id_of(jwk), f"{PREFIX}/{log_id_of(jwk)}", jwk, POLICY_DIGEST)

    def report(
        self, who: Candidate, nonce: bytes, guest: snp.Guest, chip: snp.AmdPlatform | None = None
    ) -> Evidence:
        """What a chip says about the machine that this signer runs on, bound to its key and the nonce."""
        key = spki_of(who.jwk)
        bound = attest.report_data(nonce, key)
        bundle = (chip or self.chip).evidence(replace(guest, report_data=bound), key)
        return Evidence("sev-snp", attest.serialize_bundle(bundle).decode(), bound.hex(), nonce.hex())

    def admit(self, who: Candidate, evidence: Evidence, policy_digest: str) -> Admission:
        """Admit a signer. Raises Refused."""
        return self._admitter.admit(who, evidence, policy_digest)

    def ask(self, who: Candidate, evidence: Evidence, policy_digest: str = POLICY_DIGEST) -> str:
        """`admitted as` its level, or why not."""
        try:
            admission = self.admit(who, evidence, policy_digest)
        except Refused as refusal:
            return f"refused: {refusal.code}, {reason_of(refusal.public)}"
        return f"{ADMITTED}{admission.level}"


def reason_of(public: str) -> str:
    """The reason codes in a refusal's text, for a line that people read."""
    codes = [code for code in attest.Code if f"{code} (" in public]
    return " ".join(codes) or public.split(";", maxsplit=1)[0]


def judged(step: str, attack: str, control: Control, expected: str, observed: str) -> Finding:
    """A finding that held when the refusal names the reason expected."""
    held = observed.startswith("refused: ") and expected in observed
    return Finding(step, attack, control, f"refused: {expected}", observed, held=held)
