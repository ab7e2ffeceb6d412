"""Who follows a Sealwright from outside keeps to its root, through rotations, and believes nobody else."""

from __future__ import annotations

import pytest

from authority_support.monitors import Site, monitor_of
from authority_support.papersite import PaperSite, Seat
from sealwright.errors import Unavailable
from sealwright.ledger.follow import Follower
from sealwright.monitor.model import Code
from sealwright.witness.book import EAGER_INTERVAL, FollowedLogs
from sealwright_validate import errors as validate_errors
from sealwright_validate.fetch import Answer


class Counting:
    """Counts what is fetched of a site."""

    def __init__(self, paper: PaperSite) -> None:
        self._paper = paper
        self.paths: list[str] = []

    def __call__(self, path: str) -> Answer:
        self.paths.append(path)
        return self._paper.fetch(path)


def replaced(paper: PaperSite) -> Seat:
    """Every signer is ended, and a new one admitted under the root in force."""
    for seat in paper.seats:
        paper.close(seat)
    new = paper.new_seat()
    paper.manifest(new)
    paper.list_logs(new)
    return new


def test_the_root_is_followed_version_by_version_and_old_logs_stay_known(site: Site) -> None:
    paper, first, second = site
    follower = Follower(paper.fetch, paper.pinned, clock=paper.clock)
    assert set(follower.pull_logs().logs) == {first.log_id, second.log_id}
    for _ in range(3):
        paper.rotate_root()
    new = replaced(paper)
    assert set(follower.pull_logs().logs) == {first.log_id, second.log_id, new.log_id}
    assert follower.trust.root.version == 4
    late = Follower(paper.fetch, paper.pinned, clock=paper.clock)
    assert late.pull_manifest()[1].logs.keys() == {new.log_id}
    assert late.pull_logs().logs[first.log_id].closed_at is not None


def test_a_root_of_somebody_else_is_not_followed(site: Site) -> None:
    paper, _, _ = site
    follower = Follower(paper.fetch, paper.pinned, clock=paper.clock)
    follower.pull_logs()
    paper.rotate_root()
    paper._root_key, kept = paper._admission_key, paper._root_key
    paper.served |= {"/root/2": paper.root()}
    paper._root_key = kept
    replaced(paper)
    with pytest.raises(validate_errors.Refused):
        follower.pull_logs()
    with pytest.raises(validate_errors.Refused):
        follower.pull_manifest()
    assert follower.trust.root.version == 1


def test_what_is_not_served_is_told_from_what_does_not_answer(site: Site) -> None:
    paper, _, _ = site
    follower = Follower(paper.fetch, paper.pinned, clock=paper.clock)
    assert follower.find("/nothing") is None
    with pytest.raises(Unavailable) as caught:
        follower.get("/nothing")
    assert caught.value.code == "not_served"
    paper.down = True
    with pytest.raises(Unavailable) as caught:
        follower.find("/manifest")
    assert caught.value.code == "no_answer"


def book_of(paper: PaperSite) -> tuple[FollowedLogs, Counting]:
    fetch = Counting(paper)
    follower = Follower(fetch, paper.pinned, clock=paper.clock)
    return FollowedLogs({}, [follower], paper.clock), fetch


def test_a_witness_learns_logs_from_the_list_and_which_are_closed(site: Site) -> None:
    paper, first, second = site
    book, _ = book_of(paper)
    found = book.find(first.origin)
    assert found is not None
    assert (found.key.public, found.is_open) == (first.signer.identity.public, True)
    paper.close(second)
    paper.refresh()
    book.refresh()
    assert {origin: known.is_open for origin, known in book.known().items()} == {
        first.origin: True,
        second.origin: False,
    }


def test_a_flood_of_unknown_origins_causes_one_look_a_second(site: Site) -> None:
    paper, _, _ = site
    book, fetch = book_of(paper)
    for number in range(50):
        assert book.find(f"stranger.example/{number}") is None
    assert len(fetch.paths) == 1
    paper.clock.time += EAGER_INTERVAL
    assert book.find("stranger.example/0") is None
    assert len(fetch.paths) == 2


def test_while_a_list_is_read_nobody_else_waits_for_it(site: Site) -> None:
    paper, first, _ = site
    book, _ = book_of(paper)
    asked: list[object] = []

    def slow(path: str) -> Answer:
        asked.append(book.find("stranger.example/0"))  # somebody comes while it is being read
        return paper.fetch(path)

    book._followers[0].find = lambda path: slow(path).body
    assert book.find(first.origin) is not None
    assert asked == [None]


def test_a_list_of_somebody_else_teaches_a_witness_nothing(site: Site) -> None:
    paper, first, _ = site
    book, _ = book_of(paper)
    body = paper.served["/ledger/log-list.json"]
    paper.served["/ledger/log-list.json"] = body.replace(first.log_id.encode(), b"a" * 16)
    assert book.find(first.origin) is None
    assert book.known() == {}


def test_a_monitor_follows_the_root_too(site: Site) -> None:
    paper, _, _ = site
    monitor = monitor_of(paper)
    monitor.round()
    paper.rotate_root()
    replaced(paper)
    assert monitor.round() == []
    del paper.served["/root/2"]
    late = monitor_of(paper)
    late.round()
    assert late.alarms.pending
    assert {alarm.code for alarm in late.report().alarms} <= {Code.UNREACHABLE}
