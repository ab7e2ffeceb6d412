"""The power goes at every single step of what writes files: what was said to be durable is there, and what is
published is whole.

The databases have an ordeal of their own (test_crashes.py); here they are taken to be where they were.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authority_support.ledgers import SignedLedger
from authority_support.powercut import Disk, fresh
from authority_support.witnesses import ForkingScribe, proof_of, submission, witness_of
from sealwright.files import make_private_directory, write_private
from sealwright.ledger import tiles
from sealwright.ledger.folder import Folder
from sealwright.ledger.fsck import check_ledger
from sealwright.ledger.publisher import Publisher

MIXTURES = 2
MakeDisk = Callable[[Path], Disk]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDisk]:
    made: list[Disk] = []

    def make(root: Path) -> Disk:
        root.mkdir(exist_ok=True)
        made.append(Disk(root, monkeypatch))
        return made[-1]

    yield make
    for one in made:
        one.close()


def outcomes(disk: Disk, to: Path) -> Iterator[Path]:
    """What may be left now: what is certain, and some mixtures."""
    disk.left(fresh(to))
    yield to
    for seed in range(MIXTURES):
        disk.left(fresh(to), random.Random(seed))
        yield to


def test_a_published_head_is_whole_whenever_the_power_goes(
    tmp_path: Path, disk: MakeDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    ledger = SignedLedger(tmp_path / "state")
    watched, heads = disk(ledger.files), list[int]()

    def look() -> None:
        for left in outcomes(watched, tmp_path / "left"):
            report = check_ledger(ledger.store, left)
            assert report.sound, report.damages
            published = left / ledger.log_id / "checkpoint"
            heads.append(int(published.read_text().split("\n")[1]) if published.is_file() else 0)

    watched.moments = look
    for count in (3, 250, 1, 300):
        ledger.issue(count)
        ledger.publish()
    watched.moments = lambda: None
    size = ledger.store.log(ledger.log_id)
    assert size is not None
    watched.left(fresh(tmp_path / "left"))
    assert f"\n{size.size}\n" in (tmp_path / "left" / ledger.log_id / "checkpoint").read_text()
    assert len(heads) > 200
    assert len(set(heads)) == 4, "the power went before the first of four heads, and between them"


def test_the_publisher_goes_on_from_whatever_a_power_cut_left(tmp_path: Path, disk: MakeDisk) -> None:
    (tmp_path / "state").mkdir()
    ledger = SignedLedger(tmp_path / "state")
    watched, lefts = disk(ledger.files), list[Path]()

    def keep() -> None:
        for seed in (None, 1):
            to = tmp_path / f"left-{len(lefts)}"
            watched.left(to, None if seed is None else random.Random(seed))
            lefts.append(to)

    for count in (200, 100, 300):
        ledger.issue(count)
        watched.moments = keep if count == 100 else lambda: None
        ledger.publish()
    watched.moments = lambda: None
    for left in lefts:
        Publisher(ledger.store, left).publish(ledger.log_id)
        report = check_ledger(ledger.store, left)
        assert report.sound, report.damages
        assert report.files
    assert len(lefts) > 20


def test_what_a_witness_answered_is_on_its_disk(tmp_path: Path, disk: MakeDisk) -> None:
    scribe, watched = ForkingScribe(), disk(tmp_path / "disk")
    old = 0
    for count in (1, 5, 300):
        note = scribe.grow(count)
        witness = witness_of(tmp_path / "disk" / "witness", scribe)
        lines = witness.add_checkpoint(submission(note, old, proof_of(scribe.leaves, old)))
        old += count
        for left in outcomes(watched, tmp_path / "left"):
            [kept] = (left / "witness").rglob("checkpoint")
            assert kept.read_text() == note + lines
            assert witness_of(left / "witness", scribe).vkeys == witness.vkeys


@pytest.mark.parametrize("write", [tiles.write_durably, write_private], ids=["published", "private"])
def test_a_file_is_there_as_it_was_or_as_it_is_at_every_step(
    tmp_path: Path, disk: MakeDisk, write: Callable[[Path, bytes], None]
) -> None:
    watched, allowed = disk(tmp_path / "disk"), set[bytes | None]()
    file, seen = tmp_path / "disk" / "a" / "b" / "file", set[bytes | None]()

    def look() -> None:
        for left in outcomes(watched, tmp_path / "left"):
            kept = left / "a" / "b" / "file"
            seen.add(kept.read_bytes() if kept.exists() else None)

    allowed = {None, b"one", b"two" * 5_000}
    watched.moments = look
    make_private_directory(file.parent)
    write(file, b"one")
    write(file, b"two" * 5_000)
    assert seen == allowed - {b"two" * 5_000} or seen == allowed
    watched.moments = lambda: None
    for left in outcomes(watched, tmp_path / "left"):
        assert (left / "a" / "b" / "file").read_bytes() == b"two" * 5_000


def test_what_went_to_a_directory_of_cold_storage_stays_there(tmp_path: Path, disk: MakeDisk) -> None:
    watched = disk(tmp_path / "disk")
    Folder(tmp_path / "disk" / "cold").write("log/tile/0/x001/234", b"tile")
    for left in outcomes(watched, tmp_path / "left"):
        assert Folder(left / "cold").read("log/tile/0/x001/234") == b"tile"


class Failing:
    """Lets one sync fail: not done, or done and reported as failed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left, self._done, self._real = 0, False, os.fsync
        patch.setattr(os, "fsync", self)

    def arm(self, after: int, *, done: bool) -> None:
        self.left, self._done = after, done

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left != 0 or self._done:
            self._real(descriptor)
        if self.left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done and reported as failed"])
def test_a_sync_that_fails_anywhere_leaves_nothing_false_and_the_next_one_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    (tmp_path / "state").mkdir()
    ledger = SignedLedger(tmp_path / "state")
    ledger.issue(300)
    failing, struck = Failing(monkeypatch), 0
    for after in range(1, 100):
        files = tmp_path / f"files-{after}"
        failing.arm(after, done=done)
        publisher = Publisher(ledger.store, files)
        try:
            publisher.publish(ledger.log_id)
        except OSError:
            struck += 1
        else:
            break
        assert check_ledger(ledger.store, files).sound
        Publisher(ledger.store, files).publish(ledger.log_id)
        report = check_ledger(ledger.store, files)
        assert report.sound, report.damages
        assert report.files == 5  # two bundles, two tiles of leaves, one above
    assert struck > 15, "every sync was struck"
