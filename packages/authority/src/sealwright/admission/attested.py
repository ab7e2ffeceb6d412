"""Appraises what a signer collected, by a policy of `sealwright_attest`.

May never return a level above what the evidence established, nor take a binding, a nonce or a root from the
evidence itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import sealwright_attest as attest
from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.documents import spki_of
from sealwright.admission.model import Appraisal, Candidate, Evidence, EvidenceLevel
from sealwright.errors import Misconfigured, Refused


class Appraise(Protocol):
    """`sealwright_attest.appraise`, or the same under other roots."""

    def __call__(
        self, evidence: attest.Evidence, *, nonce: bytes | None, policy: attest.Policy, now: datetime
    ) -> attest.AttestationResult:
        """The result; nothing in `evidence` is trusted."""
        ...


def read_policy(unverified_document: bytes, where: str) -> attest.Policy:
    """The appraisal policy in a TOML or JSON document.

    Raises:
        Misconfigured: `bad_admission_policy`.
    """
    try:
        return attest.parse_policy(unverified_document)
    except (attest.Misconfigured, attest.Refused) as error:
        raise Misconfigured("bad_admission_policy", f"{where}: {error}") from error


class AttestedAppraiser:
    """Appraises evidence by a policy; a signer that shows none is worth `none`.

    Args:
        policy: what is asked for.
        appraise: the appraisal; another one than the shipped roots' in drills and tests only.
        document: the policy as it was written, for those who appraise again (`sealwright-attest recheck`).
    """

    __slots__ = ("_appraise", "_document", "_policy")

    def __init__(
        self, policy: attest.Policy, appraise: Appraise = attest.appraise, document: str = ""
    ) -> None:
        self._policy = policy
        self._document = document
        self._appraise = appraise

    def appraise(self, candidate: Candidate, evidence: Evidence, now: float) -> Appraisal:
        """What the evidence establishes, with the evidence itself, every check and the policy's hash.

        Raises:
            Refused: `evidence_not_understood`, `evidence_not_bound`, or `evidence_refused` with every failed
                check, what was found, what was asked, and the fix.
        """
        if evidence.kind == "none":
            return SoftwareAppraiser().appraise(candidate, evidence, now)
        try:
            bundle = attest.parse_bundle(evidence.evidence.encode())
        except attest.Refused as error:
            raise Refused("evidence_not_understood", error.public, error.detail) from error
        if bundle.kind != evidence.kind:
            raise Refused("evidence_not_understood", "the evidence is of another kind than it is said to be")
        if bundle.unverified_identity_key != spki_of(candidate.jwk):
            raise Refused("evidence_not_bound", "the evidence names another identity key")
        nonce, at = bytes.fromhex(evidence.nonce), datetime.fromtimestamp(now, UTC)
        result = self._appraise(bundle, nonce=nonce, policy=self._policy, now=at)
        if result.verdict is attest.Verdict.REFUSED:
            raise Refused("evidence_refused", _reasons(result), result.evidence_hash)
        facts = {
            "appraiser": "sealwright-attest",
            "at": int(now),
            "evidence": evidence.evidence,
            "incarnation": candidate.log_id,
            "kind": evidence.kind,
            "level": str(result.level),
            "nonce": evidence.nonce,
            "policy": result.policy_hash,
            "policy_document": self._document,
            "appraisal": attest.result_record(result),
            "signer_policy": candidate.policy_digest,
        }
        ends = result.grace_until
        return Appraisal(EvidenceLevel(str(result.level)), facts, int(ends.timestamp()) if ends else None)


def _reasons(result: attest.AttestationResult) -> str:
    failed = [one for one in result.checks if one.outcome is attest.Outcome.FAILED]
    said = (f"{one.code} ({one.field}: found {one.found}, asked {one.asked}; {one.fix})" for one in failed)
    return "its evidence is refused: " + "; ".join(said)
