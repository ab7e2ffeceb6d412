"""What is audited is durable first and stated in the ledger when it can be; an approval is had once."""

import asyncio

import pytest

from sealwright.admin.memory import MemoryApprovalStore, MemoryAuditStore, MemoryStatements
from sealwright.admin.model import Action, AuditEntry
from sealwright.admin.rules import next_entry, require_approved
from sealwright.admin.service import Approvals, Auditor
from sealwright.errors import Refused, Unavailable


class StillClock:
    def now(self) -> float:
        return 100.0


class ContestedStore(MemoryAuditStore):
    """Another process takes the next number each time, `rivals` times over."""

    def __init__(self, rivals: int) -> None:
        super().__init__()
        self.rivals = rivals

    def append(self, entry: AuditEntry) -> None:
        if self.rivals:
            self.rivals -= 1
            super().append(next_entry(self.last(), 1.0, "system:rival", "do", "x", {}))
        super().append(entry)


def test_an_entry_is_kept_and_stated_by_its_digest() -> None:
    store, ledger = MemoryAuditStore(), MemoryStatements()
    entry = asyncio.run(
        Auditor(store, StillClock(), ledger).audit("operator:a", "revoke_key", "kid", {"why": "x"})
    )
    assert ledger.made == [("audit", entry.digest)]
    assert store.unstated(10) == []


def test_without_a_signer_entries_are_kept_and_stated_in_order_later() -> None:
    store, ledger = MemoryAuditStore(), MemoryStatements()
    auditor = Auditor(store, StillClock(), ledger)

    async def main() -> None:
        ledger.down = True
        first = await auditor.audit("operator:a", "do", "x")
        second = await auditor.audit("operator:a", "do", "y")
        assert ledger.made == []
        ledger.down = False
        assert await auditor.state() == 2
        assert [digest for _, digest in ledger.made] == [first.digest, second.digest]
        assert await auditor.state() == 0

    asyncio.run(main())


def test_what_cannot_be_kept_is_not_done() -> None:
    store = MemoryAuditStore()
    store.down = True
    with pytest.raises(Unavailable):
        asyncio.run(Auditor(store, StillClock()).audit("operator:a", "do", "x"))


def test_a_trail_that_others_write_to_stays_one_trail() -> None:
    store = ContestedStore(rivals=3)
    auditor = Auditor(store, StillClock())
    entry = asyncio.run(auditor.audit("operator:a", "do", "x"))
    assert entry.seq == 4
    assert asyncio.run(auditor.verify()) is None
    with pytest.raises(Unavailable, match="audit_busy"):
        asyncio.run(Auditor(ContestedStore(rivals=100), StillClock()).audit("operator:a", "do", "x"))


def test_two_operators_together_get_one_approval_once_and_each_step_is_audited() -> None:
    store = MemoryAuditStore()

    async def main() -> None:
        approvals = Approvals(MemoryApprovalStore(), Auditor(store, StillClock()), StillClock())
        request = await approvals.request("operator:a", Action.CHANGE_REALM, "enterprise", {"scopes": ["x"]})
        with pytest.raises(Refused, match="consents_missing"):
            await approvals.approval(request.id)
        await approvals.consent("operator:a", request.id)
        with pytest.raises(Refused, match="consents_missing"):
            await approvals.approval(request.id)
        assert await approvals.open_requests() == [request]
        await approvals.consent("operator:b", request.id)
        approval = await approvals.approval(request.id)
        require_approved(approval, Action.CHANGE_REALM, "enterprise", {"scopes": ["x"]}, 100.0)
        with pytest.raises(Refused, match="already_granted"):
            await approvals.approval(request.id)
        assert await approvals.open_requests() == []

    asyncio.run(main())
    actions = [entry.action for entry in store.page(0, 10)]
    assert actions == ["request_approval", "consent", "consent", "approve"]


def test_nobody_consents_to_what_nobody_asked_for() -> None:
    approvals = Approvals(MemoryApprovalStore(), Auditor(MemoryAuditStore(), StillClock()), StillClock())
    with pytest.raises(Refused, match="unknown_request"):
        asyncio.run(approvals.consent("operator:a", "change-0"))
    with pytest.raises(Refused, match="unknown_request"):
        asyncio.run(approvals.approval("change-0"))
