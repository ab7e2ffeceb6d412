"""What administration needs from outside. Stores are called from worker threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sealwright.admin.model import AuditEntry, ChangeRequest, Consent


class AuditStore(Protocol):
    """Keeps the audit trail; an entry is never changed but for the note that it was stated in the ledger."""

    def last(self) -> AuditEntry | None:
        """The newest entry."""
        ...

    def append(self, entry: AuditEntry) -> None:
        """Keep an entry; durable when this returns.

        Raises:
            Refused: `audit_moved`; another writer took this number meanwhile. Nothing was kept.
            Unavailable: nothing was kept.
        """
        ...

    def page(self, after: int, limit: int) -> list[AuditEntry]:
        """Up to `limit` entries with a number above `after`, in order."""
        ...

    def unstated(self, limit: int) -> list[AuditEntry]:
        """The oldest entries that the ledger does not know yet."""
        ...

    def mark_stated(self, seq: int) -> None:
        """The ledger has a statement leaf of this entry."""
        ...


class ApprovalStore(Protocol):
    """Keeps change requests and consents."""

    def add_request(self, request: ChangeRequest) -> None:
        """Keep a new request."""
        ...

    def request(self, request_id: str) -> ChangeRequest | None:
        """One request, or None where there is none."""
        ...

    def open_requests(self, since: float) -> list[ChangeRequest]:
        """Requests made at or after a time (unix seconds) that were not granted, oldest first."""
        ...

    def add_consent(self, consent: Consent) -> None:
        """Keep a consent; a second one of the same operator changes nothing."""
        ...

    def consents(self, request_id: str) -> list[Consent]:
        """The consents of a request, oldest first."""
        ...

    def grant(self, request_id: str) -> None:
        """Note that the approval was handed out.

        Raises:
            Refused: `already_granted`; an approval is used once.
        """
        ...


class StatementLedger(Protocol):
    """Puts a statement leaf into the ledger (docs/formats/ledger.md)."""

    async def statement(self, kind: str, digest: str) -> object:
        """Append `{"type": kind, "digest": digest}`; durable when this returns.

        Raises:
            Unavailable: no signer serves now.
        """
        ...


class StatusSource(Protocol):
    """A room that says how it is."""

    def status(self) -> Mapping[str, Any]:
        """Facts as JSON values; no secrets. Must not block."""
        ...
