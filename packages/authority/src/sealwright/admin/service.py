"""The audit trail and the approvals. Both only keep and answer; neither may carry anything out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from sealwright.admin.model import Action, Approval, AuditEntry, ChangeRequest, Consent, Details
from sealwright.admin.ports import ApprovalStore, AuditStore, StatementLedger
from sealwright.admin.requests import request_digest
from sealwright.admin.rules import REQUEST_LIFE, approval_of, broken_at, next_entry
from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.ids import new_id

APPEND_TRIES = 8
"""Attempts at the next number when other processes write to the same trail."""
STATE_AT_ONCE = 100
PAGE_MAX = 1_000


class Auditor:
    """Writes down who did what. The row is durable first; the ledger's statement follows, now or later."""

    def __init__(self, store: AuditStore, clock: Clock, ledger: StatementLedger | None = None) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._stating = asyncio.Lock()

    async def audit(
        self, actor: str, action: str, subject: str, details: Details | None = None
    ) -> AuditEntry:
        """Keep one entry.

        Args:
            actor: who did it: `operator:…`, `rule:…`, `system:…`.
            action: what was done, a code in snake_case.
            subject: to what: a kid, a client, a realm.
            details: facts; no token, secret or subject in clear.

        Raises:
            Unavailable: nothing was kept; whatever was to be audited must not go on.
        """
        asked = request_digest.get()
        told = {**(details or {}), **({"request_digest": asked} if asked else {})}
        entry = await asyncio.to_thread(self.write, actor, action, subject, told)
        await self.state()
        return entry

    async def state(self) -> int:
        """State in the ledger what it does not know yet; how many were stated. A signer that is away is no
        error.
        """
        if self._ledger is None:
            return 0
        stated = 0
        async with self._stating:
            for entry in await asyncio.to_thread(self._store.unstated, STATE_AT_ONCE):
                try:
                    await self._ledger.statement("audit", entry.digest)
                except Unavailable:
                    break
                await asyncio.to_thread(self._store.mark_stated, entry.seq)
                stated += 1
        return stated

    async def page(self, after: int, limit: int) -> list[AuditEntry]:
        """Up to `limit` (at most `PAGE_MAX`) entries with a number above `after`."""
        return await asyncio.to_thread(self._store.page, after, min(limit, PAGE_MAX))

    async def verify(self) -> int | None:
        """The number of the first entry that does not follow from the one before; None when all do."""
        return await asyncio.to_thread(self._verify)

    def write(self, actor: str, action: str, subject: str, details: Details) -> AuditEntry:
        """Keep one entry, for those without an event loop; who has the ledger states it later. Arguments and
        errors as in `audit`.
        """
        for _ in range(APPEND_TRIES):
            entry = next_entry(self._store.last(), self._clock.now(), actor, action, subject, details)
            try:
                self._store.append(entry)
            except Refused:
                continue
            return entry
        raise Unavailable("audit_busy", "The audit trail is busy. Try again.")

    def _verify(self) -> int | None:
        return broken_at(self._entries())

    def _entries(self) -> Iterator[AuditEntry]:
        after = 0
        while page := self._store.page(after, PAGE_MAX):
            yield from page
            after = page[-1].seq


class Approvals:
    """Requests, consents, and the approval that comes of them. Each step is audited."""

    def __init__(self, store: ApprovalStore, auditor: Auditor, clock: Clock) -> None:
        self._store = store
        self._auditor = auditor
        self._clock = clock

    async def request(self, operator: str, action: Action, subject: str, details: Details) -> ChangeRequest:
        """Ask for an approval; the one who asks has agreed."""
        request = ChangeRequest(
            id=new_id("change"),
            action=action,
            subject=subject,
            details=details,
            requested_by=operator,
            requested_at=self._clock.now(),
        )
        await self._auditor.audit(
            operator, "request_approval", subject, {"request": request.id, "action": action.value}
        )
        await asyncio.to_thread(self._store.add_request, request)
        return request

    async def consent(self, operator: str, request_id: str) -> None:
        """Agree to a request. Agreeing twice counts once.

        Raises:
            Refused: `unknown_request`.
        """
        request = await self._known(request_id)
        await self._auditor.audit(operator, "consent", request.subject, {"request": request_id})
        consent = Consent(request_id, operator, self._clock.now())
        await asyncio.to_thread(self._store.add_consent, consent)

    async def approval(self, request_id: str) -> Approval:
        """The approval, once. Whoever gets it hands it to the action as an argument.

        Raises:
            Refused: `unknown_request`, `request_expired`, `consents_missing` or `already_granted`.
        """
        request = await self._known(request_id)
        consents = await asyncio.to_thread(self._store.consents, request_id)
        approval = approval_of(request, consents, self._clock.now())
        await asyncio.to_thread(self._store.grant, request_id)
        await self._auditor.audit(
            "system:approvals",
            "approve",
            request.subject,
            {"request": request_id, "operators": list(approval.operators)},
        )
        return approval

    async def rehearse(self, request_id: str) -> Approval:
        """What `approval` would give now; nothing is handed out, and nothing is kept.

        Raises:
            Refused: what `approval` would refuse.
        """
        request = await self._known(request_id)
        consents = await asyncio.to_thread(self._store.consents, request_id)
        approval = approval_of(request, consents, self._clock.now())
        if request_id not in {waiting.id for waiting in await self.open_requests()}:
            raise Refused("already_granted", "The approval was handed out before; ask for a new one.")
        return approval

    async def open_requests(self) -> list[ChangeRequest]:
        """Requests that can still be approved, oldest first."""
        return await asyncio.to_thread(self._store.open_requests, self._clock.now() - REQUEST_LIFE)

    async def _known(self, request_id: str) -> ChangeRequest:
        request = await asyncio.to_thread(self._store.request, request_id)
        if request is None:
            raise Refused("unknown_request", "There is no such request.")
        return request
