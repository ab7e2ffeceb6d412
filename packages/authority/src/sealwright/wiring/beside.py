"""The lake's small tables, from the authority's own records: clients, revocations, changes, canaries, and
since when there are grant events.

Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealwright.admin.model import Action, AuditEntry
from sealwright.detection.catalogue.model import BEGINNING
from sealwright.issuer.events import GrantEvents
from sealwright.keys.model import KeyState
from sealwright.store.admin import SqlAuditStore
from sealwright.store.canaries import SqlCanaryStore
from sealwright.store.clients import SqlClientStore
from sealwright.store.keys import SqlKeyStore

PAGE = 1_000
DISABLING = frozenset({"clients.disable", "disable_client"})
ENABLING = "clients.enable"


class Beside:
    """Rows made from clients, keys and the audit trail."""

    def __init__(
        self,
        clients: SqlClientStore,
        keys: SqlKeyStore,
        audit: SqlAuditStore,
        canaries: SqlCanaryStore,
        events: GrantEvents | None,
    ) -> None:
        self._events = events
        self._canaries = canaries
        self._clients = clients
        self._keys = keys
        self._audit = audit

    def rows(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """See the port."""
        entries = list(self._entries())
        disabled = _disabled(entries)
        clients = [
            {
                "client_id": client.client_id,
                "realm": client.realm,
                "scopes": list(client.scopes),
                "disabled_at": None if client.enabled else disabled.get(client.client_id),
            }
            for client in self._clients.list()
        ]
        ended = [
            {"kind": "client", "value": row["client_id"], "at": row["disabled_at"]}
            for row in clients
            if row["disabled_at"] is not None
        ]
        keys = [
            {"kind": "key", "value": key.kid, "at": float(key.changed_at)}
            for key in self._keys.all()
            if key.state is KeyState.REVOKED
        ]
        families = [
            {"kind": "family", "value": entry.subject, "at": entry.at}
            for entry in entries
            if entry.action == Action.END_FAMILY
        ]
        began = (
            [{"at": self._events.since, "kind": BEGINNING, "event_id": None, "client_id": None}]
            if self._events is not None
            else []
        )
        return {
            "grants": began,
            "clients": clients,
            "revocations": [*ended, *keys, *families],
            "changes": [_change(entry) for entry in entries],
            "canaries": [{"kind": one.kind, "value": one.value} for one in self._canaries.planted()],
        }

    def _entries(self) -> Iterator[AuditEntry]:
        after = 0
        while page := self._audit.page(after, PAGE):
            yield from page
            after = page[-1].seq


def _disabled(entries: Sequence[AuditEntry]) -> dict[str, float]:
    """When each client was last disabled (unix seconds)."""
    found: dict[str, float] = {}
    for entry in entries:
        if entry.action in DISABLING:
            found[entry.subject] = entry.at
        elif entry.action == ENABLING:
            found.pop(entry.subject, None)
    return found


def _change(entry: AuditEntry) -> dict[str, Any]:
    operators = entry.details.get("operators")
    count = len(set(operators)) if isinstance(operators, list) else 1
    return {
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "operators": count,
    }
