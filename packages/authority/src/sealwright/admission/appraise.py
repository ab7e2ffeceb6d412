"""Appraises the evidence of signers that have no hardware to show.

`none` and `simulated` are what they say and nothing more: this appraiser can never return another level, so
no software evidence passes where hardware is asked for.
"""

from __future__ import annotations

from sealwright.admission.model import Appraisal, Candidate, Evidence, EvidenceLevel, digest
from sealwright.errors import Refused

_LEVELS = {"none": EvidenceLevel.NONE, "simulated": EvidenceLevel.SIMULATED}


class SoftwareAppraiser:
    """Takes `none` and `simulated` at their word; refuses every other kind."""

    __slots__ = ()

    def appraise(self, candidate: Candidate, evidence: Evidence, now: float) -> Appraisal:
        """The level that the kind names.

        Raises:
            Refused: `evidence_not_understood` for any other kind.
        """
        level = _LEVELS.get(evidence.kind)
        if level is None:
            raise Refused(
                "evidence_not_understood", f'evidence of kind "{evidence.kind}" cannot be appraised here'
            )
        facts = {
            "appraiser": "software",
            "at": int(now),
            "evidence": digest(evidence.evidence),
            "incarnation": candidate.log_id,
            "kind": evidence.kind,
            "level": str(level),
            "nonce": evidence.nonce,
            "signer_policy": candidate.policy_digest,
        }
        return Appraisal(level, facts)
