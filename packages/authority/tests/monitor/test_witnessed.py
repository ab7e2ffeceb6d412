"""What a monitor makes of witnesses: the quorum on a head, and the heads that they hold themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from authority_support.monitors import RULES, Fork, Site, codes, monitor_of
from authority_support.papersite import PaperSite, Seat
from authority_support.witnesses import proof_of, submission, witness_of
from sealwright.errors import Unavailable
from sealwright.monitor.model import Code
from sealwright.monitor.service import Monitor
from sealwright.monitor.witnesses import Witnesses
from sealwright.witness.book import FollowedLogs
from sealwright.witness.model import KnownLog
from sealwright_validate.keyset import LogKey
from sealwright_validate.witnesses import WitnessPolicy

Find = Callable[[str], bytes | None]


class Watched:
    """A site, a witness that has been told of its first log by hand, and monitors that pin it."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.paper, self.seat, _ = site
        self.witness = witness_of(directory / "witness")
        book = self.witness._logs
        assert isinstance(book, FollowedLogs)
        for seat in self.paper.seats:
            book._logs[seat.origin] = KnownLog(LogKey(seat.origin, seat.signer.identity.public))
        self.policy = WitnessPolicy.parse(f"witness w {self.witness.vkeys[0]} https://w.example\nquorum w")
        self.sizes: dict[str, int] = {}
        self.find: Find = self.honest

    def honest(self, path: str) -> bytes | None:
        note = self.witness.checkpoint(path.split("/")[1])
        return note.encode() if note else None

    def cosign(self, seat: Seat) -> None:
        """Show the witness the published head, and publish it with the cosignature."""
        file = self.paper.file(seat, "checkpoint")
        note = file.read_text().partition("\u2014 w.example")[0]
        size, old = int(note.split("\n")[1]), self.sizes.get(seat.log_id, 0)
        leaves = [entry.leaf for entry in self.paper.store.entries(seat.log_id, 0, size)]
        lines = self.witness.add_checkpoint(submission(note, old, proof_of(leaves, old)))
        self.sizes[seat.log_id] = size
        file.write_text(note + lines)

    def cosign_all(self) -> None:
        for seat in self.paper.seats:
            self.cosign(seat)

    def monitor(self) -> Monitor:
        seen = Witnesses(self.policy, lambda _url: self.find)
        return monitor_of(self.paper, RULES, witnesses=seen)


@pytest.fixture
def watched(site: Site, tmp_path: Path) -> Watched:
    made = Watched(site, tmp_path)
    made.cosign_all()
    return made


def after_grace(paper: PaperSite, monitor: Monitor) -> set[tuple[str, str]]:
    """Everything that is said now or when the grace is over."""
    found = codes(monitor.round())
    paper.clock.time += RULES.grace
    return found | codes(monitor.round())


def test_cosigned_heads_raise_no_alarm(watched: Watched) -> None:
    assert after_grace(watched.paper, watched.monitor()) == set()


def test_a_head_without_its_quorum_is_named_after_the_grace(watched: Watched) -> None:
    watched.paper.issue(watched.seat, count=2)
    watched.paper.publish()
    monitor = watched.monitor()
    assert monitor.round() == []
    assert after_grace(watched.paper, monitor) == {(Code.NOT_WITNESSED.value, watched.seat.log_id)}
    watched.cosign(watched.seat)
    monitor.round()
    assert monitor.report().sound


def test_a_head_that_is_older_than_the_witnesss_is_named(watched: Watched) -> None:
    file = watched.paper.file(watched.seat, "checkpoint")
    old = file.read_bytes()
    watched.paper.issue(watched.seat, count=2)
    watched.paper.publish()
    watched.cosign(watched.seat)
    file.write_bytes(old)
    assert after_grace(watched.paper, watched.monitor()) == {(Code.ROLLBACK.value, watched.seat.log_id)}


@pytest.mark.parametrize("more", [3, 20])
def test_a_tree_that_the_witness_has_seen_otherwise_is_a_split_view(watched: Watched, more: int) -> None:
    """The fork is longer than what the log list and this newcomer know of: the witness alone can tell."""
    size = watched.seat.signer.journal.size
    watched.paper.issue(watched.seat, count=3)
    watched.paper.publish()
    watched.cosign(watched.seat)
    Fork(watched.paper, watched.seat, size, more).publish()
    found = codes(watched.monitor().round())
    assert (Code.SPLIT_VIEW.value, watched.seat.log_id) in found


def test_a_witness_that_does_not_answer_is_named_after_the_grace(watched: Watched) -> None:
    def silent(_path: str) -> bytes | None:
        raise Unavailable("no_answer", "no answer")

    watched.find = silent
    monitor = watched.monitor()
    assert monitor.round() == []
    assert (Code.UNREACHABLE.value, "") in after_grace(watched.paper, monitor)


def test_what_a_witness_has_not_cosigned_itself_counts_for_nothing(watched: Watched) -> None:
    fork = Fork(watched.paper, watched.seat, watched.seat.signer.journal.size, 200)
    said: list[bytes | None] = []
    watched.find = lambda _path: said[-1]
    for answer in (fork.journal.checkpoint.encode(), b"\xff", b"", b"\n\n", None):
        said.append(answer)
        assert codes(watched.monitor().round()) == set()
