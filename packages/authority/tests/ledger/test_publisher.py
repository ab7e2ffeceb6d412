from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from authority_support.ledgers import SignedLedger
from sealwright.ledger import publisher as publishing
from sealwright.ledger import tiles
from sealwright.ledger.model import Entry, Log
from sealwright.ledger.publisher import Publisher

LOG = Log("abcdefghijklmnop", "test/abcdefghijklmnop", "key", 0, "", None)


class EverGrowingStore:
    """An empty log to which something is committed whenever the publisher looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked = threading.Event()
        self.publisher: Publisher | None = None

    def log(self, log_id: str) -> Log | None:
        self.looks += 1
        if self.publisher is not None and self.looks < 1_000:
            self.publisher.committed(log_id)
        self.looked.set()
        return LOG

    def logs(self) -> list[Log]:
        return [LOG]

    def add_log(self, log: Log, at: int) -> None:
        pass

    def frontier(self, log_id: str) -> tuple[bytes, ...]:
        return ()

    def append(self, before: int, entries: Sequence[Entry], log: Log, frontier: Sequence[bytes]) -> None:
        pass

    def close_log(self, log_id: str, at: int) -> None:
        pass

    def leaf(self, log_id: str, index: int) -> bytes | None:
        return None

    def leaves(self, log_id: str, start: int, end: int) -> list[bytes]:
        return []

    def entries(self, log_id: str, start: int, end: int) -> list[Entry]:
        return []


def test_a_log_that_grows_while_it_is_published_waits_for_the_next_interval(tmp_path: Path) -> None:
    store = EverGrowingStore()
    store.publisher = Publisher(store, tmp_path, interval=60)
    store.publisher.start()
    assert store.looked.wait(30)
    store.publisher.stop()
    assert store.looks == 2  # at the start and at the end, an interval being longer than this test


def test_a_log_that_does_not_grow_is_published_again_when_it_may_get_more_cosignatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "AGAIN", 0.01)
    ledger, done = SignedLedger(tmp_path), threading.Event()
    asked: list[int] = []

    def cosign(stored: Log) -> str:
        asked.append(stored.size)
        return stored.checkpoint + ("\u2014 witness AAAA\n" if len(asked) > 3 else "")

    def again() -> list[str]:
        if len(asked) > 3:
            done.set()
            return []
        return [ledger.log_id]

    publisher = Publisher(ledger.store, ledger.files, interval=0.01, cosign=cosign, again=again)
    publisher.start()
    assert done.wait(60)
    publisher.stop()
    assert len(asked) == 4
    assert len(set(asked)) == 1
    assert (ledger.directory / "checkpoint").read_text().endswith("\u2014 witness AAAA\n")


def test_a_file_is_written_once_for_a_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, written = SignedLedger(tmp_path), list[Path]()
    plainly = tiles.write_durably

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        plainly(path, data)

    monkeypatch.setattr(tiles, "write_durably", write)
    ledger.publish()
    assert len(written) == len(set(written)) == 3  # a bundle, a tile, the checkpoint
    ledger.issue(2)
    ledger.publish()
    assert len(written) == len(set(written)) + 1 == 6  # the checkpoint alone has the same name
    ledger.publish()
    assert len(written) == 6
