"""What a malicious storage does to files, and a malicious log to its history, is named by the monitor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from authority_support.monitors import RULES, Fork, Site, codes, monitor_of
from authority_support.papersite import PaperSite, Seat
from sealwright.ledger.tiles import TileWriter, decode_bundle, encode_bundle
from sealwright.monitor.model import Code


def edit_entry(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    leaves[44] = leaves[44][:-1] + bytes([leaves[44][-1] ^ 1])
    file.write_bytes(encode_bundle(leaves))


def swap_entries(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    leaves[44], leaves[45] = leaves[45], leaves[44]
    file.write_bytes(encode_bundle(leaves))


def cut_bundle(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    file.write_bytes(encode_bundle(leaves[:44]))


def cut_inside_an_entry(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    file.write_bytes(encode_bundle(leaves[:45])[:-3])


def remove_bundle(paper: PaperSite, seat: Seat) -> None:
    paper.file(seat, "tile/entries/001").unlink()


def edit_entry_and_its_tiles(paper: PaperSite, seat: Seat) -> None:
    """An entry in the last bundle, with every tile over it made to fit."""
    leaves = [entry.leaf for entry in paper.store.entries(seat.log_id, 0, seat.signer.journal.size)]
    note = paper.file(seat, "checkpoint").read_text()
    leaves = leaves[: int(note.split("\n")[1])]
    leaves[300] = leaves[300][:-1] + bytes([leaves[300][-1] ^ 1])
    shutil.rmtree(paper.file(seat, "tile"))
    writer = TileWriter(paper.file(seat, ""))
    for leaf in leaves:
        writer.append(leaf)
    writer.publish(note)


def edit_checkpoint(paper: PaperSite, seat: Seat) -> None:
    file = paper.file(seat, "checkpoint")
    lines = file.read_text().split("\n")
    file.write_text("\n".join([lines[0], str(int(lines[1]) + 1), *lines[2:]]))


def swap_logs(paper: PaperSite, seat: Seat) -> None:
    other = next(one for one in paper.seats if one is not seat)
    shutil.rmtree(paper.file(seat, ""))
    shutil.copytree(paper.file(other, ""), paper.file(seat, ""))


STORAGE: list[tuple[Callable[[PaperSite, Seat], None], Code, int | None]] = [
    (edit_entry, Code.ENTRY_EDITED, 300),
    (swap_entries, Code.ENTRY_EDITED, 300),
    (cut_bundle, Code.GAP, 300),
    (cut_inside_an_entry, Code.GAP, 300),
    (remove_bundle, Code.GAP, 256),
    (edit_entry_and_its_tiles, Code.TREE_DAMAGED, None),
    (edit_checkpoint, Code.CHECKPOINT_REFUSED, None),
    (swap_logs, Code.CHECKPOINT_REFUSED, None),
]


@pytest.mark.parametrize(("damage", "code", "index"), STORAGE, ids=[one[0].__name__ for one in STORAGE])
def test_damage_by_the_storage_is_named(
    site: Site, damage: Callable[[PaperSite, Seat], None], code: Code, index: int | None
) -> None:
    paper, first, _ = site
    damage(paper, first)
    alarms = monitor_of(paper).round()
    named = [(alarm.code, alarm.index) for alarm in alarms if alarm.log_id == first.log_id]
    assert named[:1] == [(code, index)]


@pytest.mark.parametrize(
    ("back", "more", "code"),
    [(5, 0, Code.ROLLBACK), (5, 2, Code.ROLLBACK), (5, 5, Code.SPLIT_VIEW), (5, 40, Code.SPLIT_VIEW)],
)
def test_a_log_that_goes_back_or_forks_under_its_own_key_is_named(
    site: Site, tmp_path: Path, back: int, more: int, code: Code
) -> None:
    paper, first, _ = site
    monitor_of(paper, state=tmp_path / "m").round()
    Fork(paper, first, first.signer.journal.size - back, more).publish()
    # Also by one that was restarted in between: it remembers.
    alarms = monitor_of(paper, state=tmp_path / "m").round()
    assert (code.value, first.log_id) in codes(alarms)


def test_a_fork_that_is_shown_to_a_newcomer_does_not_fit_the_log_list(site: Site) -> None:
    paper, first, _ = site
    Fork(paper, first, first.signer.journal.size - 5, 60).publish()
    assert (Code.SPLIT_VIEW.value, first.log_id) in codes(monitor_of(paper).round())


def test_a_stale_head_is_named_after_the_grace(site: Site) -> None:
    paper, first, _ = site
    old = paper.file(first, "checkpoint").read_bytes()
    monitor = monitor_of(paper)
    paper.issue(first, count=3)
    paper.refresh()
    paper.file(first, "checkpoint").write_bytes(old)
    assert monitor.round() == []
    paper.clock.time += RULES.grace
    assert (Code.ROLLBACK.value, first.log_id) in codes(monitor.round())
