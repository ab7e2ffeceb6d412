"""A log list is signed by being in the ledger, vouched for by admissions, and takes nothing back."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from sealwright_validate import Reason, Refused
from sealwright_validate.conformance.authority import DAY, Incarnation, ThrowawayAuthority
from sealwright_validate.conformance.keys import compact_json
from sealwright_validate.conformance.ledger import ThrowawayLedger
from sealwright_validate.encoding import decode_base64url
from sealwright_validate.keyset import LogKey
from sealwright_validate.log_list import LogList, open_log_list, vkey_of
from sealwright_validate.root import pinned_root

NOW = 1_800_000_000
Members = dict[str, Any]


class Lists:
    """A throw-away authority with one live log and one closed one, and the lists that it serves."""

    def __init__(self) -> None:
        self.authority = ThrowawayAuthority(NOW)
        self.root = pinned_root(self.authority.roots[0])
        self.live = ThrowawayLedger(self.authority.incarnation)
        self.closed = ThrowawayLedger(Incarnation(self.authority.url))
        for ledger in (self.live, self.closed):
            for number in range(3):
                ledger.leaves.append(b"\x01\x03%d" % number)
                ledger.records.append(b"")

    def entry(self, ledger: ThrowawayLedger, closed_at: int | None, **admission: Any) -> Members:
        signer = ledger.incarnation
        public = LogKey(signer.origin, decode_base64url(signer.jwk["x"]))
        named = {"incarnation": signer.log_id, "origin": signer.origin, "jwk": signer.jwk}
        size = len(ledger.leaves)
        return {
            "id": signer.log_id,
            "origin": signer.origin,
            "vkey": vkey_of(public),
            "evidence": signer.evidence,
            "admission": self.authority.admission(**{**named, **admission}),
            "size": size,
            "checkpoint": ledger.checkpoint() if size else "",
            "closed_at": closed_at,
        }

    def members(self, version: int = 1) -> Members:
        # The admission of a closed log may have expired long ago.
        old = self.entry(self.closed, NOW - DAY, expires_at=NOW - DAY)
        times = {"issued_at": NOW, "expires_at": NOW + 3_600}
        return {"version": version, **times, "authority": "u", "logs": [old, self.entry(self.live, None)]}

    def served(self, members: Members, *, stated: Members | None = None, at: int = NOW) -> bytes:
        text = compact_json(members).decode()
        digest = sha256(compact_json(members if stated is None else stated)).hexdigest()
        self.live.leaves.append(b"\x01\x03" + compact_json({"at": at, "digest": digest, "type": "log-list"}))
        self.live.records.append(self.live.leaves[-1])
        receipt = self.live.receipt(len(self.live.leaves) - 1)
        return compact_json({"root_version": 1, "log_list": text, "receipt": receipt})

    def open(self, served: bytes, previous: LogList | None = None, now: float = NOW) -> LogList:
        return open_log_list(self.root, served, previous, now=now)

    def reason(self, served: bytes, previous: LogList | None = None, now: float = NOW) -> Reason:
        with pytest.raises(Refused) as caught:
            self.open(served, previous, now)
        return caught.value.reason


@pytest.fixture
def lists() -> Lists:
    return Lists()


def test_a_stated_list_opens_and_gives_the_keys_of_its_logs(lists: Lists) -> None:
    found = lists.open(lists.served(lists.members()))
    assert set(found.logs) == {lists.live.incarnation.log_id, lists.closed.incarnation.log_id}
    assert found.logs[lists.closed.incarnation.log_id].closed_at == NOW - DAY
    assert found.keys[lists.live.incarnation.log_id].origin == lists.live.incarnation.origin


def test_a_list_that_the_ledger_does_not_state_is_refused(lists: Lists) -> None:
    members = lists.members()
    other = {**members, "version": 2}
    assert lists.reason(lists.served(other, stated=members)) is Reason.LOG_LIST_NOT_TRUSTED
    served = json.loads(lists.served(members))
    served["receipt"] = lists.closed.receipt(0)
    assert lists.reason(compact_json(served)) is Reason.LOG_LIST_NOT_TRUSTED


def test_a_list_that_was_stated_at_another_time_is_refused(lists: Lists) -> None:
    assert lists.reason(lists.served(lists.members(), at=NOW - 3_600)) is Reason.LOG_LIST_NOT_TRUSTED


def test_a_log_whose_admission_is_over_states_no_list(lists: Lists) -> None:
    members = lists.members()
    members["logs"][1] = lists.entry(lists.live, None, expires_at=NOW)
    assert lists.reason(lists.served(members)) is Reason.LOG_LIST_NOT_TRUSTED


Change = Callable[[Lists, Members], object]
FLAWS: dict[str, Change] = {
    "log_id_of_another_key": lambda lists, entry: entry.update(id=lists.live.incarnation.log_id),
    "origin_of_another_log": lambda _, entry: entry.update(origin="127.0.0.1:8420/ledger/aaaaaaaaaaaaaaaa"),
    "vkey_of_another_log": lambda lists, entry: entry.update(vkey=lists.entry(lists.live, None)["vkey"]),
    "evidence_raised": lambda _, entry: entry.update(evidence="hardware"),
    "size_beyond_checkpoint": lambda _, entry: entry.update(size=4),
    "checkpoint_of_another_log": lambda lists, entry: entry.update(checkpoint=lists.live.checkpoint()),
    "checkpoint_missing": lambda _, entry: entry.update(checkpoint=""),
    "admission_of_a_stranger": lambda _, entry: entry.update(
        admission=ThrowawayAuthority(NOW).admission(incarnation=entry["id"], origin=entry["origin"])
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_log_that_is_listed_otherwise_than_it_was_admitted_refuses_the_list(
    lists: Lists, flaw: str
) -> None:
    members = lists.members()
    FLAWS[flaw](lists, members["logs"][0])
    assert lists.reason(lists.served(members)) is Reason.LOG_LIST_NOT_TRUSTED


def test_a_log_that_is_listed_twice_refuses_the_list(lists: Lists) -> None:
    members = lists.members()
    members["logs"].append(members["logs"][0])
    assert lists.reason(lists.served(members)) is Reason.LOG_LIST_NOT_TRUSTED


def test_a_list_that_is_past_or_of_the_future_is_refused(lists: Lists) -> None:
    served = lists.served(lists.members())
    assert lists.reason(served, now=NOW + 3_600) is Reason.LOG_LIST_STALE
    assert lists.reason(served, now=NOW - 31) is Reason.LOG_LIST_STALE
    eternal = {**lists.members(), "expires_at": NOW + DAY + 1}
    assert lists.reason(lists.served(eternal)) is Reason.LOG_LIST_NOT_TRUSTED


def test_nothing_that_a_list_said_is_taken_back(lists: Lists) -> None:
    before = lists.open(lists.served(lists.members(2)))
    assert lists.open(lists.served(lists.members(3)), before).version == 3
    assert lists.reason(lists.served(lists.members(1)), before) is Reason.LOG_LIST_ROLLED_BACK
    assert lists.reason(lists.served(lists.members(2)), before) is Reason.LOG_LIST_ROLLED_BACK
    vanished = lists.members(3)
    del vanished["logs"][0]
    assert lists.reason(lists.served(vanished), before) is Reason.LOG_LIST_ROLLED_BACK
    reopened = lists.members(3)
    reopened["logs"][0]["closed_at"] = None
    assert lists.reason(lists.served(reopened), before) is Reason.LOG_LIST_ROLLED_BACK
    lists.closed.leaves.append(b"\x01\x03more")
    grown = lists.members(3)
    assert lists.reason(lists.served(grown), before) is Reason.LOG_LIST_ROLLED_BACK
    lists.closed.leaves[-2:] = []
    shrunk = lists.members(3)
    assert lists.reason(lists.served(shrunk), before) is Reason.LOG_LIST_ROLLED_BACK


def test_an_old_admission_key_vouches_for_old_logs_where_the_reader_verified_its_root(lists: Lists) -> None:
    before = lists.authority.admission_key
    old = lists.entry(lists.closed, NOW - DAY, expires_at=NOW - DAY)
    fresh = ThrowawayAuthority(NOW)
    lists.authority.admission_key = fresh.admission_key
    document = lists.authority.root_document(1, [lists.authority.root_key])
    root, former = pinned_root(document), lists.root.admission
    members = lists.members()
    members["logs"][0] = old
    served = lists.served(members)
    assert before is not fresh.admission_key
    with pytest.raises(Refused):
        open_log_list(root, served, now=NOW)
    assert open_log_list(root, served, now=NOW, former=[former]).version == 1
