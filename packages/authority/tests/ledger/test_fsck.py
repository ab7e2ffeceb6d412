from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from authority_support.logs import Scribe, tokens
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.fsck import Report, check_ledger
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.repair import plan_repair
from sealwright.ledger.service import Ledger
from sealwright.ledger.tiles import decode_bundle, encode_bundle
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore

SIZE = 600


class StoppedClock:
    def now(self) -> float:
        return 1_800_000_000.0


class Site:
    """A published ledger of one log with 600 tokens."""

    def __init__(self, directory: Path) -> None:
        self.engine: Engine = open_state(directory)
        self.store = SqlLedgerStore(self.engine)
        self.files = directory / "ledger"
        self.scribe = Scribe()
        self.ledger = Ledger(self.store, StoppedClock(), lambda _log_id: None)
        asyncio.run(self._fill())
        self.publish()

    async def _fill(self) -> None:
        writer = self.ledger.open_log(self.scribe.log_id, self.scribe.origin, self.scribe.vkey, 0)
        for start in range(0, SIZE, 60):
            leaves, records = tokens(60, start)
            await writer.commit(self.scribe.batch(leaves), records)

    def publish(self) -> None:
        Publisher(self.store, self.files).publish(self.scribe.log_id)

    def sql(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def check(self) -> Report:
        return check_ledger(self.store, self.files)

    def file(self, name: str) -> Path:
        return self.files / self.scribe.log_id / name


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_an_untouched_ledger_is_sound(site: Site) -> None:
    report = site.check()
    assert report.sound
    assert (report.leaves, report.tokens, report.records) == (SIZE, SIZE, SIZE)
    assert report.files == 7  # two full bundles and tiles, a partial one of each, and one of level 1


def test_publishing_in_steps_gives_the_files_of_publishing_at_once(site: Site, tmp_path: Path) -> None:
    publisher = Publisher(site.store, tmp_path / "again")
    publisher.publish(site.scribe.log_id)
    asyncio.run(_more(site))
    publisher.publish(site.scribe.log_id)
    resumed = Publisher(site.store, site.files)
    resumed.publish(site.scribe.log_id)
    assert check_ledger(site.store, tmp_path / "again").sound
    assert site.check().sound
    assert site.check().leaves == SIZE + 300


async def _more(site: Site) -> None:
    writer = site.ledger.open_log(site.scribe.log_id, site.scribe.origin, site.scribe.vkey, SIZE)
    leaves, records = tokens(300, SIZE)
    await writer.commit(site.scribe.batch(leaves), records)


def edit_leaf(site: Site) -> None:
    site.sql("UPDATE leaves SET leaf = substr(leaf, 1, 110) || x'00000000' WHERE idx = 300")


def edit_record(site: Site) -> None:
    site.sql("UPDATE leaves SET record = record || x'00' WHERE idx = 300")


def delete_leaf(site: Site) -> None:
    site.sql("DELETE FROM leaves WHERE idx = 300")


def reorder_leaves(site: Site) -> None:
    site.sql("UPDATE leaves SET idx = -1 WHERE idx = 300")
    site.sql("UPDATE leaves SET idx = 300 WHERE idx = 301")
    site.sql("UPDATE leaves SET idx = 301 WHERE idx = -1")


def truncate_to_300(site: Site) -> None:
    site.sql("DELETE FROM leaves WHERE idx >= 300")
    site.sql("UPDATE logs SET size = 300")


def insert_beyond(site: Site) -> None:
    site.sql("INSERT INTO leaves SELECT log, 600, leaf, record FROM leaves WHERE idx = 300")


def edit_bundle(site: Site) -> None:
    file = site.file("tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    leaves[300 - 256] = leaves[300 - 256][:-1] + b"\xff"
    file.write_bytes(encode_bundle(leaves))


def truncate_bundle(site: Site) -> None:
    file = site.file("tile/entries/001")
    file.write_bytes(file.read_bytes()[: (300 - 256) * 116])


def delete_tile(site: Site) -> None:
    site.file("tile/0/001").unlink()


def edit_tile(site: Site) -> None:
    file = site.file("tile/0/001")
    data = bytearray(file.read_bytes())
    data[(300 - 256) * 32] ^= 1
    file.write_bytes(data)


DAMAGES: list[tuple[Callable[[Site], None], str, int | None]] = [
    (edit_leaf, "root_mismatch", 300),
    (edit_record, "record_digest", 300),
    (delete_leaf, "leaf_missing", 300),
    (reorder_leaves, "root_mismatch", 300),
    (truncate_to_300, "leaf_missing", 300),
    (insert_beyond, "leaf_beyond_head", 600),
    (edit_bundle, "bundle_differs", 300),
    (truncate_bundle, "bundle_differs", 300),
    (edit_tile, "tile_differs", 300),
    (delete_tile, "tile_differs", 256),
]


@pytest.mark.parametrize(("damage", "code", "index"), DAMAGES, ids=[d[0].__name__ for d in DAMAGES])
def test_damage_is_found_and_the_leaf_is_named(
    site: Site, damage: Callable[[Site], None], code: str, index: int | None
) -> None:
    damage(site)
    report = site.check()
    assert (code, index) in {(found.code, found.index) for found in report.damages}


def test_a_checkpoint_by_another_key_is_found(site: Site) -> None:
    other = Scribe()
    other.origin, other.key_id = site.scribe.origin, site.scribe.key_id
    other.frontier = site.scribe.frontier
    site.file("checkpoint").write_text(other.checkpoint())
    assert "published_checkpoint" in {found.code for found in site.check().damages}


def test_a_swapped_log_is_found(site: Site) -> None:
    other = Scribe()
    with site.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE logs SET vkey = ?", (other.vkey,))
    assert "log_key" in {found.code for found in site.check().damages}


def test_files_of_an_unknown_log_are_found(site: Site) -> None:
    (site.files / "aaaaaaaaaaaaaaaa").mkdir()
    assert [found.code for found in site.check().damages] == ["unknown_log"]


def test_a_log_that_was_closed_before_it_was_published_is_sound_and_gets_published(site: Site) -> None:
    """A signer and then the authority can be killed within the second before publication."""
    site.ledger.close_log(site.scribe.log_id)
    site.file("checkpoint").unlink()
    assert site.check().sound
    site.publish()
    assert site.file("checkpoint").is_file()
    assert site.check().sound


def edit_superseded_partial(site: Site) -> None:
    file = site.file("tile/0/002.p/10")
    file.write_bytes(site.file("tile/0/002.p/88").read_bytes()[:319] + b"\xff")


def leave_a_file_of_no_leaf(site: Site) -> None:
    file = site.file("tile/entries/002.p/200")
    file.write_bytes(site.file("tile/entries/002.p/88").read_bytes())


def leave_a_file_of_no_tile(site: Site) -> None:
    site.file("tile/0/x000/001").mkdir(parents=True)
    (site.file("tile/0/x000/001") / "note.txt").write_text("x")


@pytest.mark.parametrize(
    ("damage", "code", "byte"),
    [
        (edit_superseded_partial, "tile_differs", 319),
        (leave_a_file_of_no_leaf, "file_beyond_head", None),
        (leave_a_file_of_no_tile, "unknown_file", None),
    ],
)
def test_every_file_is_compared_whatever_its_size(
    site: Site, damage: Callable[[Site], None], code: str, byte: int | None
) -> None:
    damage(site)
    assert [(found.code, found.byte) for found in site.check().damages] == [(code, byte)]


def test_a_superseded_partial_file_that_is_true_is_no_damage(site: Site) -> None:
    site.file("tile/0/002.p/10").write_bytes(site.file("tile/0/002.p/88").read_bytes()[:320])
    site.file("tile/0/.003.new").write_bytes(b"a crash in the middle of writing")
    report = site.check()
    assert report.sound
    assert report.files == 8


def repaired(site: Site) -> list[str]:
    steps = plan_repair(site.store, LedgerFiles(site.files))
    for step in steps:
        step.do()
    return [step.what for step in steps if step.possible]


MENDED = [
    edit_leaf,
    delete_leaf,
    reorder_leaves,
    edit_bundle,
    truncate_bundle,
    delete_tile,
    edit_tile,
    edit_superseded_partial,
]


@pytest.mark.parametrize("damage", MENDED)
def test_what_can_be_derived_is_rebuilt(site: Site, damage: Callable[[Site], None]) -> None:
    damage(site)
    plan_repair(site.store, LedgerFiles(site.files))
    assert not site.check().sound, "a plan changes nothing"
    assert repaired(site)
    left = {found.code for found in site.check().damages}
    # A record that was moved with its leaf is not the record of the leaf that was put back.
    assert left <= ({"record_digest"} if damage is reorder_leaves else set())
    assert repaired(site) == []


def test_a_leaf_that_was_edited_everywhere_is_not_made_up(site: Site) -> None:
    edit_leaf(site)
    edit_bundle(site)
    assert repaired(site) == []
    assert not site.check().sound


def test_a_lost_checkpoint_file_is_published_again_and_a_frontier_recomputed(site: Site) -> None:
    before = site.file("checkpoint").read_text()
    site.file("checkpoint").write_text("nonsense")
    site.sql("UPDATE logs SET frontier = x''")
    assert len(repaired(site)) == 2
    assert site.file("checkpoint").read_text() == before
    assert site.check().sound


def test_a_lost_private_record_is_no_damage_and_is_not_made_up(site: Site) -> None:
    site.sql("UPDATE leaves SET record = NULL WHERE idx = 5")
    assert repaired(site) == []
    assert site.check().sound
