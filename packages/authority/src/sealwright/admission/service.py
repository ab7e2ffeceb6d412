"""Admits incarnations: appraises, signs the admission, makes it durable; only then may anyone use the signer.

May never admit what was not appraised in this run, and never re-open a closed log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sealwright.admission import rules
from sealwright.admission.documents import DocumentSigner
from sealwright.admission.model import Admission, AdmissionPolicy, Appraisal, Candidate, Evidence, canonical
from sealwright.admission.ports import AdmissionStore, Appraiser, Note
from sealwright.admission.released import Releaser
from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable

MAX_NOTED = 2_000
"""Characters of a refusal's reasons that the audit trail keeps."""
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
        note: the audit trail; what is refused and ended is written there.
    """

    def __init__(
        self,
        signer: DocumentSigner,
        policy: AdmissionPolicy,
        appraiser: Appraiser,
        store: AdmissionStore,
        clock: Clock,
        origin_prefix: str,
        note: Note = lambda _action, _subject, _details: None,
    ) -> None:
        self._note, self._noted = note, ("", "")
        self._releaser: Releaser | None = None
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
        try:
            admission = self._appraised(candidate, evidence, policy_digest, rules.require_no_grace)
        except Refused as error:
            self._tell_once("admission_refused", candidate, error)
            raise
        self._store.add(admission)
        self._log("admitted", admission)
        return admission

    def renew(self, candidate: Candidate, evidence: Evidence, policy_digest: str) -> Admission:
        """Admit an incarnation that serves already for another term, on new evidence. Durable when it
        returns.

        Raises:
            Refused: with the rule that it breaks; the current admission then ends as it stands.
        """
        try:
            admission = self._appraised(candidate, evidence, policy_digest)
        except Refused as error:
            self._tell_once("renewal_refused", candidate, error)
            raise
        self._noted = ("", "")
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

    def use(self, appraisal: str) -> None:
        """Evidence is appraised by another policy from now; its hash is in every further admission."""
        self._policy = replace(self._policy, appraisal=appraisal)

    def release_by(self, releaser: Releaser) -> None:
        """Whoever is admitted from now gets its secret."""
        self._releaser = releaser

    def sealed_for(self, admission: Admission) -> bytes | None:
        """What the incarnation that was just admitted needs before it can make keys; None for nothing.

        Raises:
            Refused: `no_release_key`, or `nothing_released` when it waits for something that is not there.
            Unavailable: it could not be written down; nothing was released.
        """
        if self._releaser is not None:
            return self._releaser.sealed(admission)
        if admission.proof is not None and admission.proof.release_key is not None:
            raise Refused("nothing_released", "the signer waits for a secret that is not configured here")
        return None

    def over(self, admission: Admission) -> bool:
        """Whether an admission has ended; a time of grace can end it long before its renewal would."""
        return self._clock.now() >= admission.expires_at

    def renewal_due(self, admission: Admission) -> bool:
        """Whether it is time to renew an admission."""
        return rules.renewal_due(admission, self._clock.now(), self._policy.recheck)

    @property
    def grace(self) -> int:
        """Seconds that an incarnation may serve on after it failed to prove itself again."""
        return self._policy.grace

    def note(self, action: str, subject: str, details: dict[str, Any]) -> None:
        """Write down what came of an incarnation. A trail that is away keeps nobody from ending a signer."""
        try:
            self._note(action, subject, details)
        except Unavailable as error:
            log.warning("not written down", extra={"facts": {"action": action, "error": str(error)}})

    def _tell_once(self, action: str, candidate: Candidate, error: Refused) -> None:
        """One entry for each reason, however often it is tried again."""
        told = (action, f"{error.code} {error.public}")
        if told != self._noted:
            self._noted = told
            details = {
                "code": error.code,
                "reason": error.public[:MAX_NOTED],
                "policy": self._policy.appraisal,
            }
            self.note(action, candidate.log_id, details)

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
        facts = {**appraisal.facts, "admission_policy": self._policy.document()}
        payload = rules.statement_of(candidate, appraisal, facts, self._policy, now)
        return Admission(
            log_id=candidate.log_id,
            origin=candidate.origin,
            jwk=candidate.jwk,
            level=appraisal.level,
            statement=self._signer.compact(payload),
            result=canonical(facts).decode(),
            admitted_at=payload["admitted_at"],
            expires_at=payload["expires_at"],
            proof=appraisal.proof,
        )

    @staticmethod
    def _log(event: str, admission: Admission) -> None:
        facts = {"log_id": admission.log_id, "evidence": admission.level, "until": admission.expires_at}
        log.info(event, extra={"facts": facts})
