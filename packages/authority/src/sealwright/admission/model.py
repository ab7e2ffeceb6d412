"""What is appraised and what comes of it. No secrets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sealwright_attest import AttestationResult


class EvidenceLevel(StrEnum):
    """How much an incarnation's evidence is worth (DESIGN 1), weakest first."""

    NONE = "none"
    SIMULATED = "simulated"
    VIRTUAL_TPM = "virtual-tpm"
    HARDWARE = "hardware"

    @property
    def rank(self) -> int:
        """0 for `none`, rising."""
        return list(EvidenceLevel).index(self)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A running signer that asks to be admitted, as it describes itself; nothing here is believed before
    `rules`.
    """

    log_id: str
    origin: str
    jwk: dict[str, Any]
    policy_digest: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a signer showed for our nonce (hex): its kind, the evidence itself (text), the digest that it
    binds.
    """

    kind: str
    evidence: str
    binding: str
    nonce: str


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What is asked of every incarnation."""

    evidence: EvidenceLevel
    lifetime: int
    recheck: int = 3_600
    """Seconds after which an incarnation must prove itself again, at half of `lifetime` at the latest."""
    grace: int = 600
    """Seconds that an incarnation may serve on after it failed to prove itself again."""
    appraisal: str = ""
    """Hash of the policy that evidence is appraised by (`sealwright_attest`); empty where there is none."""

    def document(self) -> dict[str, Any]:
        """The policy as the JSON whose digest every admission names."""
        named = {"evidence": str(self.evidence), "lifetime": self.lifetime, "recheck": self.recheck}
        return {"version": 1, **named, "grace": self.grace, "appraisal": self.appraisal}


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What an appraiser found: the level, and the facts that it rests on (kept, its digest is published)."""

    level: EvidenceLevel
    facts: dict[str, Any]
    grace_until: int | None = None
    """Seconds since 1970 until when one that is admitted already may go on, though a new one is refused."""
    proof: AttestationResult | None = None
    """What was established, where evidence was appraised."""


@dataclass(frozen=True, slots=True)
class Admission:
    """An incarnation that may serve until `expires_at`. Times in seconds since 1970; `statement` is the
    signed JWS.
    """

    log_id: str
    origin: str
    jwk: dict[str, Any]
    level: EvidenceLevel
    statement: str
    result: str
    """The appraisal result, canonical JSON; the statement names its digest."""
    admitted_at: int
    expires_at: int
    closed_at: int | None = None
    proof: AttestationResult | None = field(default=None, compare=False, repr=False)
    """What it rests on, until it is stored: to whom a secret may be released."""


@dataclass(frozen=True, slots=True)
class StandingPolicy:
    """A document that came into force. Times in seconds since 1970.

    `by` is who put it in force: `file`, or the operators; `request` the approval, empty for a file.
    """

    number: int
    document: str
    since: int
    by: str
    request: str = ""


@dataclass(frozen=True, slots=True)
class RevokedImage:
    """A measurement (hex) that is refused whatever else holds; those admitted earlier go on for `grace`
    seconds.
    """

    digest: str
    reason: str
    since: int
    grace: int
    by: str


def canonical(document: Any) -> bytes:
    """JSON with keys sorted and no white space: what digests of documents are taken of."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(document: Any) -> str:
    """Hex SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(document)).hexdigest()
