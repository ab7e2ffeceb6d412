"""Follows the admission policy while signers serve: a change is read, written down, and then counts.

The supervisor's. A document that cannot be read, that nobody agreed to, or that could not be written down
changes nothing: the policy before it stays in force. May never fall back to a weaker one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import sealwright_attest as attest
from sealwright.admission.endorsements import Stored
from sealwright.admission.model import StandingPolicy
from sealwright.admission.ports import Note, StandingStore
from sealwright.admission.standing import Approved, InForce, in_force, require_agreed
from sealwright.clock import Clock
from sealwright.errors import Misconfigured, Refused, SealwrightError

LOOK = 1.0
"""Seconds between two looks at files and store."""
log = logging.getLogger(__name__)


class Sources(Protocol):
    """The files that the configuration names."""

    def mark(self) -> Hashable:
        """Changes when one of them does."""
        ...

    def document(self) -> str:
        """The policy's file. `Misconfigured` when it cannot be read."""
        ...

    def beside(self) -> tuple[Stored, attest.Policy | None]:
        """Endorsements and shadow policy. `Misconfigured` when they cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What signers are appraised by now."""

    in_force: InForce
    stored: Stored
    shadow: attest.Policy | None


class PolicyKeeper:
    """The policy in force and its changes.

    Args:
        sources: the files.
        store: what is in force, durable.
        approvals: requests and consents, where operators must agree; None where the file decides.
        note: the audit trail.
        clock: the current time.
        use: told of every change.
    """

    def __init__(
        self,
        sources: Sources,
        store: StandingStore,
        approvals: Approved | None,
        note: Note,
        clock: Clock,
        use: Callable[[Rules], None],
    ) -> None:
        self._sources = sources
        self._store = store
        self._approvals = approvals
        self._note = note
        self._clock = clock
        self._use = use
        self._kept: tuple[Hashable, StandingPolicy, int] | None = None
        self._failed: Hashable = None
        self._looked = 0.0
        self.changes = 0

    def open(self) -> None:
        """Put the policy in force that this run starts with.

        Raises:
            Misconfigured: it cannot be read.
        """
        mark, document, latest = self._sources.mark(), self._sources.document(), self._agreed()
        if latest is None or (self._approvals is None and latest.document != document):
            latest = self._take(document, latest)
        elif latest.document != document:
            log.warning("admission.policy is not the policy in force: operators must agree to it first")
        self._tell(mark, latest)

    def look(self) -> None:
        """Follow what has changed; at most once a second. Never raises: what cannot be followed is logged,
        once, and tried again.
        """
        now = self._clock.now()
        if 0 <= now - self._looked < LOOK or self._kept is None:
            return
        self._looked = now
        found: Hashable = None
        try:
            mark, latest = self._sources.mark(), self._store.latest()
            found = mark, latest, len(self._store.revoked())
            if found != self._kept:
                self._follow(mark, latest, self._kept[1])
        except SealwrightError as error:
            if found != self._failed:
                facts = {"error": str(error)}
                log.error("the admission policy stays as it is", extra={"facts": facts})  # noqa: TRY400
            self._failed = found

    def _agreed(self) -> StandingPolicy | None:
        """The newest policy that came into force as policies may."""
        found: StandingPolicy | None = None
        for one in self._store.history():
            if found is not None and one.request and self._approvals is not None:
                try:
                    require_agreed(one, found, self._approvals)
                except Refused as error:
                    log.error("not in force", extra={"facts": {"error": str(error)}})  # noqa: TRY400
                    break
            found = one
        return found

    def _follow(self, mark: Hashable, latest: StandingPolicy | None, before: StandingPolicy) -> None:
        if latest is None:
            raise Misconfigured("bad_admission_policy", "the policy in force is gone from the state")
        if latest != before and self._approvals is not None:
            require_agreed(latest, before, self._approvals)
        document = self._sources.document()
        if document != latest.document and self._approvals is None:
            latest = self._take(document, latest)
        elif document != latest.document:
            log.warning("admission.policy is not the policy in force: operators must agree to it first")
        self._tell(mark, latest)
        self.changes += 1

    def _take(self, document: str, before: StandingPolicy | None) -> StandingPolicy:
        """Put the file's document in force: read, written down, kept, in this order."""
        made = in_force(document, self._store.revoked())
        number = before.number + 1 if before else 1
        taken = StandingPolicy(number, document, int(self._clock.now()), "file")
        told = {"policy": made.policy.hash(), "document": hashlib.sha256(document.encode()).hexdigest()}
        self._note("admission_policy_in_force", "admission.policy", {**told, "by": "file"})
        self._store.add(taken)
        return taken

    def _tell(self, mark: Hashable, latest: StandingPolicy) -> None:
        revoked = self._store.revoked()
        stored, shadow = self._sources.beside()
        made = in_force(latest.document, revoked)
        self._use(Rules(made, stored, shadow))
        self._kept = mark, latest, len(revoked)
        log.info("admission policy in force", extra={"facts": {"policy": made.policy.hash()}})
