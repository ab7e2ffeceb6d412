"""How operators change what signers are appraised by: two agree to a policy, one may revoke an image.

The authority's. It writes down, then keeps; the supervisor follows what is kept, and looks at the consents
itself. May never put a policy in force on one operator's word, nor take a revocation back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sealwright.admin.model import Action, Details
from sealwright.admin.rules import require_approved
from sealwright.admin.service import Approvals, Auditor
from sealwright.admission.model import StandingPolicy
from sealwright.admission.ports import StandingStore
from sealwright.admission.standing import NAME, InForce, change_details, in_force, revoked_image
from sealwright.clock import Clock
from sealwright.errors import Misconfigured, Refused


@dataclass(frozen=True, slots=True)
class PolicyDesk:
    """Asks, agrees, changes.

    `operators_decide` says whether a document comes into force by agreement; otherwise the file decides.
    """

    store: StandingStore
    approvals: Approvals
    auditor: Auditor
    clock: Clock
    operators_decide: bool

    async def shown(self) -> dict[str, Any]:
        """What is in force, since when, by whom.

        Raises:
            Refused: `no_policy`.
        """
        latest, made = await self._now()
        revoked = await asyncio.to_thread(self.store.revoked)
        return {
            "policy": made.policy.hash(),
            "name": made.policy.name,
            "revision": made.policy.revision,
            "text": latest.document,
            "document": made.document,
            "since": latest.since,
            "by": latest.by,
            "changes": "approved" if self.operators_decide else "file",
            "revoked": [
                {
                    "digest": one.digest,
                    "reason": one.reason,
                    "since": one.since,
                    "grace": one.grace,
                    "by": one.by,
                }
                for one in revoked
            ],
        }

    async def ask(self, unverified_document: str, operator: str) -> str:
        """Ask for another policy; the one who asks has agreed. Returns the request's id.

        Raises:
            Refused: `file_decides`, `no_policy`, `bad_admission_policy`, or `nothing_changes`.
        """
        latest, _ = await self._changeable()
        await self._read(unverified_document)
        if unverified_document == latest.document:
            raise Refused("nothing_changes", "this policy is in force already")
        details = change_details(unverified_document, latest)
        asked = await self.approvals.request(operator, Action.CHANGE_ADMISSION_POLICY, NAME, details)
        return asked.id

    async def change(self, unverified_document: str, request: str) -> str:
        """Put a policy in force that operators agreed to; its hash. What is in force now must still be what
        they agreed to replace.

        Raises:
            Refused: as `ask`, or as approvals are refused.
            Unavailable: it could not be written down; nothing changed.
        """
        latest, _ = await self._changeable()
        made = await self._read(unverified_document)
        approval, now = await self.approvals.approval(request), self.clock.now()
        details = change_details(unverified_document, latest)
        require_approved(approval, Action.CHANGE_ADMISSION_POLICY, NAME, details, now)
        by = ", ".join(approval.operators)
        told: Details = {**details, "policy": made.policy.hash(), "request": request, "by": by}
        await self.auditor.audit("system:approvals", "change_admission_policy", NAME, told)
        taken = StandingPolicy(latest.number + 1, unverified_document, int(now), by, request)
        await asyncio.to_thread(self.store.add, taken)
        return made.policy.hash()

    async def revoke(self, digest: str, reason: str, grace: int, operator: str) -> str:
        """Revoke an image; the hash of the policy that follows. It only takes power away, so one may do it.

        Raises:
            Refused: `no_policy`, `malformed_revocation` or `already_revoked`.
            Unavailable: it could not be written down; nothing changed.
        """
        latest, _ = await self._now()
        image = revoked_image(digest, reason, grace, self.clock.now(), operator)
        before = await asyncio.to_thread(self.store.revoked)
        if image.digest in {one.digest for one in before}:
            raise Refused("already_revoked", "this image is revoked already")
        made = in_force(latest.document, [*before, image])
        told: Details = {"reason": reason, "grace": grace, "policy": made.policy.hash()}
        await self.auditor.audit(operator, "revoke_image", image.digest, told)
        await asyncio.to_thread(self.store.revoke, image)
        return made.policy.hash()

    async def _changeable(self) -> tuple[StandingPolicy, InForce]:
        if not self.operators_decide:
            text = 'the file that admission.policy names decides and is followed (admission.changes = "file")'
            raise Refused("file_decides", text)
        return await self._now()

    async def _now(self) -> tuple[StandingPolicy, InForce]:
        latest = await asyncio.to_thread(self.store.latest)
        if latest is None:
            raise Refused("no_policy", "no appraisal policy is in force: name one in admission.policy")
        return latest, in_force(latest.document, await asyncio.to_thread(self.store.revoked))

    async def _read(self, unverified_document: str) -> InForce:
        try:
            return in_force(unverified_document, await asyncio.to_thread(self.store.revoked))
        except Misconfigured as error:
            raise Refused(error.code, error.public) from error
