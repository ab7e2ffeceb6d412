from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sealwright.errors import Unavailable
from sealwright.ledger.files import LOG_LIST, LedgerFiles
from sealwright.ledger.log_list import LIFE, LogLists, entries
from sealwright.ledger.model import Admitted, Log, Place
from sealwright.store.db import open_state
from sealwright.store.log_list import SqlLogListStore

START = 1_800_000_000


class Desk:
    """What a list is made of, and what it asks for."""

    def __init__(self, directory: Path) -> None:
        self.time = float(START)
        self.directory = directory
        self.store = SqlLogListStore(open_state(directory))
        self.known: list[dict[str, Any]] = [{"id": "a", "closed_at": None, "size": 1}]
        self.stated: list[str] = []
        self.looks = 0
        self.published_after = 0

    def now(self) -> float:
        return self.time

    def logs(self) -> list[dict[str, Any]]:
        self.looks += 1
        return self.known

    def marks(self) -> object:
        return [(log["id"], log["closed_at"]) for log in self.known]

    async def state(self, kind: str, digest: str) -> Place:
        assert kind == "log-list"
        self.stated.append(digest)
        return Place("a", len(self.stated))

    def receipt(self, place: Place) -> str:
        if self.published_after > 0:
            self.published_after -= 1
            raise Unavailable("not_published", "not yet")
        return f"receipt of {place.index}"

    def lists(self) -> LogLists:
        return LogLists(self.store, self, self.state, self.receipt, self, self.directory, "http://a", 1)

    def served(self) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.json.decode((self.directory / LOG_LIST).read_bytes())
        members: dict[str, Any] = msgspec.json.decode(document["log_list"])
        return members


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_list_is_served_only_behind_its_leaf_and_receipt(desk: Desk) -> None:
    desk.published_after = 2
    assert asyncio.run(desk.lists().keep())
    assert desk.served()["version"] == 1
    assert len(desk.stated) == 1


def test_a_new_list_is_made_when_a_log_opens_or_closes_and_at_half_its_life(desk: Desk) -> None:
    lists = desk.lists()
    assert asyncio.run(lists.keep())
    assert not asyncio.run(lists.keep())
    desk.known = [*desk.known, {"id": "b", "closed_at": None, "size": 0}]
    assert asyncio.run(lists.keep())
    desk.known[0] = {**desk.known[0], "closed_at": START}
    assert asyncio.run(lists.keep())
    desk.time += LIFE // 2 - 1
    assert not asyncio.run(lists.keep())
    desk.time += 1
    assert asyncio.run(lists.keep())
    assert desk.served()["version"] == 4


def test_nothing_is_read_anew_while_nothing_changes(desk: Desk) -> None:
    lists = desk.lists()
    for _ in range(5):
        asyncio.run(lists.keep())
    assert desk.looks == 2


def test_a_file_that_a_crash_left_behind_is_brought_up_to_date(desk: Desk) -> None:
    asyncio.run(desk.lists().keep())
    true = (desk.directory / LOG_LIST).read_bytes()
    (desk.directory / LOG_LIST).write_bytes(b"the one before")
    assert not asyncio.run(desk.lists().keep())
    assert (desk.directory / LOG_LIST).read_bytes() == true


def test_every_admitted_incarnation_is_listed_with_its_final_head_or_none(tmp_path: Path) -> None:
    def admitted(name: str, closed_at: int | None) -> Admitted:
        return Admitted(name, f"o/{name}", f"v/{name}", "none", "jws", closed_at)

    logs = [Log("b", "o/b", "v/b", 3, "head", START), Log("stranger", "o", "v", 9, "head", None)]
    found = entries(
        [admitted("a", START), admitted("b", None), admitted("c", None)], logs, LedgerFiles(tmp_path)
    )
    assert [(one["id"], one["size"], one["checkpoint"], one["closed_at"]) for one in found] == [
        ("b", 3, "head", START),
        ("a", 0, "", START),
        ("c", 0, "", None),
    ]
