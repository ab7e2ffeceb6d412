"""Admits incarnations: appraises, signs the admission, makes it durable; only then may anyone use the signer.

May never admit what was not appraised in this run, and never re-open a closed log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from sealwright.admission import rules
from sealwright.admission.documents import DocumentSigner
from sealwright.admission.model import Admission, AdmissionPolicy, Appraisal, Candidate, Evidence, canonical
from sealwright.admission.ports import AdmissionStore, Appraiser
from sealwright.clock import Clock

log = logging.getLogger(__name__)


class Admitter:
    """Decides who may serve as a signer.

    Args:
        signer: the admission key.
        policy: what is asked of every incarnation.
        appraiser: judges evidence.
        store: where admissions are kept.
        clock: the current time.
        origin_prefix: what the origin of every log starts with.
    """

    def __init__(
        self,
        signer: DocumentSigner,
        policy: AdmissionPolicy,
        appraiser: Appraiser,
        store: AdmissionStore,
        clock: Clock,
        origin_prefix: str,
    ) -> None:
        self._signer = signer
        self._policy = policy
        self._appraiser = appraiser
        self._store = store
        self._clock = clock
        self._origin_prefix = origin_prefix

    def admit(self, candidate: Candidate, evidence: Evidence, policy_digest: str) -> Admission:
        """Admit a new incarnation. Durable when it returns.

        Args:
            candidate: the signer, as it describes itself.
            evidence: what it showed for a nonce that was made for this call.
            policy_digest: hex SHA-256 of the policy document that it was started with.

        Raises:
            Refused: with the rule that it breaks.
        """
        admission = self._appraised(candidate, evidence, policy_digest, rules.require_no_grace)
        self._store.add(admission)
        self._log("admitted", admission)
        return admission

    def renew(self, candidate: Candidate, evidence: Evidence, policy_digest: str) -> Admission:
        """Admit an incarnation that serves already for another term, on new evidence. Durable when it
        returns.

        Raises:
            Refused: with the rule that it breaks; the current admission then ends as it stands.
        """
        admission = self._appraised(candidate, evidence, policy_digest)
        self._store.renew(admission)
        self._log("admission renewed", admission)
        return admission

    def close(self, log_id: str) -> None:
        """Close the log of an incarnation that has died: it can never serve again."""
        self._store.close(log_id, int(self._clock.now()))
        log.info("log closed", extra={"facts": {"log_id": log_id}})

    def close_left_over(self) -> list[Admission]:
        """Close every log that a run before this one left open, and name them: no signer outlives its
        supervisor.
        """
        left = self._store.open()
        for admission in left:
            self.close(admission.log_id)
        return [replace(admission, closed_at=int(self._clock.now())) for admission in left]

    def renewal_due(self, admission: Admission) -> bool:
        """Whether it is time to renew an admission."""
        return rules.renewal_due(admission, self._clock.now(), self._policy.recheck)

    @property
    def grace(self) -> int:
        """Seconds that an incarnation may serve on after it failed to prove itself again."""
        return self._policy.grace

    def _appraised(
        self,
        candidate: Candidate,
        evidence: Evidence,
        policy_digest: str,
        further: Callable[[Appraisal], None] | None = None,
    ) -> Admission:
        now = self._clock.now()
        rules.require_own_names(candidate, self._origin_prefix)
        rules.require_policy(candidate, policy_digest)
        rules.require_binding(candidate, evidence)
        appraisal = self._appraiser.appraise(candidate, evidence, now)
        rules.require_level(appraisal, self._policy)
        if further is not None:
            further(appraisal)
        payload = rules.statement_of(candidate, appraisal, appraisal.facts, self._policy, now)
        return Admission(
            log_id=candidate.log_id,
            origin=candidate.origin,
            jwk=candidate.jwk,
            level=appraisal.level,
            statement=self._signer.compact(payload),
            result=canonical(appraisal.facts).decode(),
            admitted_at=payload["admitted_at"],
            expires_at=payload["expires_at"],
        )

    @staticmethod
    def _log(event: str, admission: Admission) -> None:
        facts = {"log_id": admission.log_id, "evidence": admission.level, "until": admission.expires_at}
        log.info(event, extra={"facts": facts})
