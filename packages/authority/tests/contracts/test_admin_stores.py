"""The contract of `AuditStore` and `ApprovalStore`, on every implementation."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from authority_support.postgres import POSTGRESQL, database
from sealwright.admin.memory import MemoryApprovalStore, MemoryAuditStore
from sealwright.admin.model import Action, AuditEntry, ChangeRequest, Consent, Details
from sealwright.admin.ports import ApprovalStore, AuditStore
from sealwright.admin.rules import next_entry
from sealwright.errors import Refused
from sealwright.store.admin import SqlApprovalStore, SqlAuditStore
from sealwright.store.db import make_tables, open_state

Stores = tuple[AuditStore, ApprovalStore]


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if request.param == "memory":
        yield MemoryAuditStore(), MemoryApprovalStore()
        return
    if request.param == "postgresql":
        with database() as engine:
            make_tables(engine)
            yield SqlAuditStore(engine), SqlApprovalStore(engine)
        return
    engine = open_state(tmp_path)
    yield SqlAuditStore(engine), SqlApprovalStore(engine)
    engine.dispose()


def trail(store: AuditStore, length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(length):
        details: Details = {"n": number, "half": 0.5, "yes": True, "none": None, "many": ["a", "b"]}
        entries.append(next_entry(store.last(), 100.25 + number, "operator:a", "revoke_key", "kid", details))
        store.append(entries[-1])
    return entries


def request(number: int, at: float = 100.0) -> ChangeRequest:
    return ChangeRequest(
        id=f"change-{number}",
        action=Action.CHANGE_REALM,
        subject="enterprise",
        details={"audiences": ["https://a.example"]},
        requested_by="operator:a",
        requested_at=at,
    )


def test_entries_come_back_as_they_were_written_in_order(stores: Stores) -> None:
    entries = trail(stores[0], 4)
    assert stores[0].page(0, 10) == entries
    assert stores[0].page(2, 1) == entries[2:3]
    assert stores[0].last() == entries[-1]


def test_an_empty_trail_has_no_last_entry(stores: Stores) -> None:
    assert stores[0].last() is None
    assert stores[0].page(0, 10) == []


def test_a_number_is_given_once(stores: Stores) -> None:
    (entry,) = trail(stores[0], 1)
    with pytest.raises(Refused, match="audit_moved"):
        stores[0].append(next_entry(None, 200.0, "operator:b", "other", "x", {}))
    assert stores[0].page(0, 10) == [entry]


def test_an_entry_is_unstated_until_marked_and_nothing_else_of_it_changes(stores: Stores) -> None:
    entries = trail(stores[0], 3)
    stores[0].mark_stated(1)
    assert stores[0].unstated(10) == entries[1:]
    assert stores[0].unstated(1) == entries[1:2]
    assert stores[0].page(0, 1) == [replace(entries[0], stated=True)]


def test_requests_and_consents_come_back_as_they_were_made(stores: Stores) -> None:
    stores[1].add_request(request(1))
    stores[1].add_consent(Consent("change-1", "operator:b", 101.0))
    stores[1].add_consent(Consent("change-1", "operator:b", 102.0))
    stores[1].add_consent(Consent("change-1", "operator:c", 100.5))
    assert stores[1].request("change-1") == request(1)
    assert stores[1].request("change-2") is None
    found = stores[1].consents("change-1")
    assert found == [Consent("change-1", "operator:c", 100.5), Consent("change-1", "operator:b", 101.0)]
    assert stores[1].consents("change-2") == []


def test_a_request_is_open_until_granted_and_granted_once(stores: Stores) -> None:
    for number, at in ((1, 100.0), (2, 90.0), (3, 10.0)):
        stores[1].add_request(request(number, at))
    assert [found.id for found in stores[1].open_requests(50.0)] == ["change-2", "change-1"]
    stores[1].grant("change-1")
    assert [found.id for found in stores[1].open_requests(50.0)] == ["change-2"]
    with pytest.raises(Refused, match="already_granted"):
        stores[1].grant("change-1")
