"""Appraises what a signer collected, by a policy of `sealwright_attest`.

May never return a level above what the evidence established, nor take a binding, a nonce or a root from the
evidence itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import sealwright_attest as attest
from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.documents import spki_of
from sealwright.admission.endorsements import Stored
from sealwright.admission.model import Appraisal, Candidate, Evidence, EvidenceLevel
from sealwright.errors import Misconfigured, Refused

log = logging.getLogger(__name__)
NOTHING_STORED = Stored()


class Appraise(Protocol):
    """`sealwright_attest.appraise`, or the same under other roots."""

    def __call__(
        self,
        evidence: attest.Evidence,
        *,
        nonce: bytes | None,
        policy: attest.Policy,
        now: datetime,
        shadow: attest.Policy | None = None,
        known: attest.Known = attest.Known(),  # noqa: B008 - a frozen value
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
        stored: endorsements that are kept here, for evidence that comes without.
        shadow: a policy whose decision is recorded and said, and does not count.
    """

    __slots__ = ("_appraise", "_document", "_policy", "_sessions", "_shadow", "_stored")

    def __init__(
        self,
        policy: attest.Policy,
        appraise: Appraise = attest.appraise,
        document: str = "",
        stored: Stored = NOTHING_STORED,
        shadow: attest.Policy | None = None,
    ) -> None:
        self._policy = policy
        self._stored = stored
        self._shadow = shadow
        self._sessions: dict[str, attest.Known] = {}
        self._document = document
        self._appraise = appraise

    def use(
        self, policy: attest.Policy, document: str, stored: Stored, shadow: attest.Policy | None = None
    ) -> None:
        """Appraise by another policy from now. What is remembered of machines stays."""
        self._policy, self._document, self._stored, self._shadow = policy, document, stored, shadow

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
        result, bundle = self._best(bundle, nonce, at, self._sessions.get(candidate.log_id, attest.Known()))
        if result.shadow is not None and result.shadow.verdict is not attest.Verdict.ACCEPTED:
            said = {"log_id": candidate.log_id, "policy": result.shadow.policy_name}
            log.warning(
                "shadow: would refuse", extra={"facts": said | {"reasons": _shown(result.shadow.failed)}}
            )
        if result.verdict is attest.Verdict.REFUSED:
            raise Refused("evidence_refused", _reasons(result), result.evidence_hash)
        self._remember(candidate.log_id, result)
        facts = {
            "appraiser": "sealwright-attest",
            "at": int(now),
            "evidence": attest.serialize_bundle(bundle).decode(),
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
        until = int(ends.timestamp()) if ends else None
        return Appraisal(EvidenceLevel(str(result.level)), facts, until, result)

    def _remember(self, log_id: str, result: attest.AttestationResult) -> None:
        """Keep the counts of a TPM's session: an incarnation cannot outlive a restart of its machine."""
        session = result.claims.settings.get("tpm")
        if isinstance(session, dict):
            counts = session["reset_count"], session["restart_count"]
            self._sessions[log_id] = attest.Known(reset_count=counts[0], restart_count=counts[1])

    def _best(
        self, bundle: attest.Evidence, nonce: bytes, at: datetime, known: attest.Known
    ) -> tuple[attest.AttestationResult, attest.Evidence]:
        """The first acceptable result, or the one that fails least, with what it rests on."""
        best: tuple[attest.AttestationResult, attest.Evidence] | None = None
        for completed in self._stored.completed(bundle):
            result = self._appraise(
                completed, nonce=nonce, policy=self._policy, now=at, shadow=self._shadow, known=known
            )
            if result.verdict is not attest.Verdict.REFUSED:
                return result, completed
            if best is None or len(result.codes) <= len(best[0].codes):  # what was added tells more
                best = result, completed
        if best is None:
            raise Refused("evidence_not_understood", "there is no evidence to appraise")
        return best


def _shown(failed: Sequence[attest.Check]) -> str:
    return "; ".join(
        f"{one.code} ({one.field}: found {one.found}, asked {one.asked}; {one.fix})" for one in failed
    )


def _reasons(result: attest.AttestationResult) -> str:
    failed = [one for one in result.checks if one.outcome is attest.Outcome.FAILED]
    return f"its evidence is refused: {_shown(failed)}"
