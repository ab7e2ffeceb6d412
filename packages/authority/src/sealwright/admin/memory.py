"""The ports of administration in memory: for tests and rehearsals. They keep the same contract as the real
ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from sealwright.admin.model import AuditEntry, ChangeRequest, Consent
from sealwright.errors import Refused, Unavailable


class MemoryAuditStore:
    """`AuditStore` in a list."""

    def __init__(self) -> None:
        self.down = False
        self._entries: list[AuditEntry] = []

    def last(self) -> AuditEntry | None:
        """See the port."""
        return self._entries[-1] if self._entries else None

    def append(self, entry: AuditEntry) -> None:
        """See the port."""
        if self.down:
            raise Unavailable("store_unavailable", "The store does not answer.")
        if entry.seq != len(self._entries) + 1:
            raise Refused("audit_moved", "Another writer took this number.")
        self._entries.append(entry)

    def page(self, after: int, limit: int) -> list[AuditEntry]:
        """See the port."""
        return [entry for entry in self._entries if entry.seq > after][:limit]

    def unstated(self, limit: int) -> list[AuditEntry]:
        """See the port."""
        return [entry for entry in self._entries if not entry.stated][:limit]

    def mark_stated(self, seq: int) -> None:
        """See the port."""
        self._entries[seq - 1] = replace(self._entries[seq - 1], stated=True)


class MemoryApprovalStore:
    """`ApprovalStore` in dictionaries."""

    def __init__(self) -> None:
        self._requests: dict[str, ChangeRequest] = {}
        self._consents: dict[tuple[str, str], Consent] = {}
        self._granted: set[str] = set()

    def add_request(self, request: ChangeRequest) -> None:
        """See the port."""
        self._requests[request.id] = request

    def request(self, request_id: str) -> ChangeRequest | None:
        """See the port."""
        return self._requests.get(request_id)

    def open_requests(self, since: float) -> list[ChangeRequest]:
        """See the port."""
        found = [r for r in self._requests.values() if r.requested_at >= since and r.id not in self._granted]
        return sorted(found, key=lambda request: (request.requested_at, request.id))

    def add_consent(self, consent: Consent) -> None:
        """See the port."""
        self._consents.setdefault((consent.request_id, consent.operator), consent)

    def consents(self, request_id: str) -> list[Consent]:
        """See the port."""
        found = [consent for consent in self._consents.values() if consent.request_id == request_id]
        return sorted(found, key=lambda consent: (consent.at, consent.operator))

    def grant(self, request_id: str) -> None:
        """See the port."""
        if request_id in self._granted:
            raise Refused("already_granted", "The approval was handed out before; ask for a new one.")
        self._granted.add(request_id)


class MemoryStatements:
    """`StatementLedger` in a list."""

    def __init__(self) -> None:
        self.down = False
        self.made: list[tuple[str, str]] = []

    async def statement(self, kind: str, digest: str) -> None:
        """See the port."""
        if self.down:
            raise Unavailable("no_signer", "No signer serves now.")
        self.made.append((kind, digest))


class FixedStatus:
    """`StatusSource` that always says the same."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = dict(facts)

    def status(self) -> Mapping[str, Any]:
        """See the port."""
        return self._facts
