"""One contract for every spool: bounded, oldest first, nothing dropped in silence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sealwright_validate.clock import FixedClock
from sealwright_validate.spool import DirectorySpool, MemorySpool, Spool

MakeSpool = Callable[[int], Spool]


@pytest.fixture(params=["memory", "directory"])
def make_spool(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSpool:
    clock = FixedClock(1_800_000_000)

    def make(max_bytes: int) -> Spool:
        if request.param == "memory":
            return MemorySpool(max_bytes)
        return Ticking(tmp_path, clock=clock, max_bytes=max_bytes)

    class Ticking(DirectorySpool):
        def put(self, entries: bytes, count: int) -> None:
            clock.advance(0.001)
            super().put(entries, count)

    return make


def test_batches_come_back_oldest_first_and_stay_until_they_are_removed(make_spool: MakeSpool) -> None:
    spool = make_spool(1000)
    assert spool.oldest() is None
    spool.put(b"first", 2)
    spool.put(b"second", 3)
    oldest = spool.oldest()
    assert oldest is not None
    assert (oldest.entries, oldest.count) == (b"first", 2)
    again = spool.oldest()
    assert again is not None
    assert again.entries == b"first"
    spool.remove(oldest)
    spool.remove(oldest)
    second = spool.oldest()
    assert second is not None
    assert (second.entries, second.count) == (b"second", 3)
    spool.remove(second)
    assert spool.oldest() is None
    assert spool.dropped == 0


def test_the_oldest_gives_way_and_is_counted(make_spool: MakeSpool) -> None:
    spool = make_spool(25)
    for number in range(5):
        spool.put(b"%010d" % number, number + 1)
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.entries == b"%010d" % 3
    assert spool.dropped == 1 + 2 + 3


def test_what_never_fits_is_counted_and_pushes_nothing_out(make_spool: MakeSpool) -> None:
    spool = make_spool(25)
    spool.put(b"small", 1)
    spool.put(b"x" * 26, 7)
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.entries == b"small"
    assert spool.dropped == 7


def test_a_directory_that_cannot_be_written_counts_what_it_loses(tmp_path: Path) -> None:
    spool = DirectorySpool(tmp_path / "spool", clock=FixedClock(0))
    (tmp_path / "spool").rmdir()
    spool.put(b"lost", 4)
    assert spool.dropped == 4
    assert spool.oldest() is None
