"""A log that rewrites what everybody has read is named by a monitor that reads it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from authority_support.monitors import RULES, Site, codes, live, monitor_of
from authority_support.papersite import PaperSite, Seat
from sealwright.ledger.tiles import decode_bundle, encode_bundle, tile_path
from sealwright.monitor.again import Sweep
from sealwright.monitor.model import Code
from sealwright.monitor.service import Rules

Rewrite = Callable[[PaperSite, Seat], Path]


def flip(file: Path, at: int) -> Path:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    return file


def an_entry(paper: PaperSite, seat: Seat) -> Path:
    file = paper.file(seat, "tile/entries/001")
    leaves = list(decode_bundle(file.read_bytes()))
    leaves[44] = leaves[44][:-1] + bytes([leaves[44][-1] ^ 1])
    file.write_bytes(encode_bundle(leaves))
    return file


def a_bundle_that_is_gone(paper: PaperSite, seat: Seat) -> Path:
    file = paper.file(seat, "tile/entries/000")
    file.write_bytes(b"")
    return file


def a_tile_of_leaves(paper: PaperSite, seat: Seat) -> Path:
    return flip(paper.file(seat, "tile/0/000"), 70)


def the_partial_tile_of_the_head(paper: PaperSite, seat: Seat) -> Path:
    size = int(paper.file(seat, "checkpoint").read_text().split("\n")[1])
    return flip(paper.file(seat, f"tile/0/{tile_path(size // 256)}.p/{size % 256}"), 3)


def the_tile_above(paper: PaperSite, seat: Seat) -> Path:
    size = int(paper.file(seat, "checkpoint").read_text().split("\n")[1])
    return flip(paper.file(seat, f"tile/1/000.p/{size // 256}"), 40)


CASES: list[tuple[Rewrite, Code, int | None]] = [
    (an_entry, Code.ENTRY_EDITED, 300),
    (a_bundle_that_is_gone, Code.GAP, 0),
    (a_tile_of_leaves, Code.TILE_EDITED, 0),
    (the_partial_tile_of_the_head, Code.TREE_DAMAGED, None),
    (the_tile_above, Code.TREE_DAMAGED, None),
]


@pytest.mark.parametrize(("rewrite", "code", "index"), CASES, ids=[one[0].__name__ for one in CASES])
def test_what_was_read_and_is_rewritten_is_named_until_it_is_mended(
    site: Site, rewrite: Rewrite, code: Code, index: int | None
) -> None:
    paper, first, _ = site
    monitor = monitor_of(paper)
    assert monitor.round() == []
    kept = {file: file.read_bytes() for file in paper.file(first, "tile").rglob("*") if file.is_file()}
    changed = rewrite(paper, first)
    alarms = monitor.round()
    assert [(alarm.code, alarm.log_id, alarm.index) for alarm in alarms] == [(code, first.log_id, index)]
    assert monitor.round() == []
    assert not monitor.report().sound, "it stands"
    changed.write_bytes(kept[changed])
    assert monitor.round() == []
    assert monitor.report().sound


def test_a_log_that_goes_on_honestly_is_read_again_without_complaint(site: Site) -> None:
    paper, first, second = site
    monitor = monitor_of(paper)
    for step in range(6):
        paper.issue(first, count=130)
        paper.issue(second, count=1 + step)
        assert live(paper, monitor) == []
    assert monitor.report().sound


def test_a_rewrite_anywhere_is_found_in_the_end(site: Site) -> None:
    paper, first, _ = site
    for _ in range(6):
        paper.issue(first, count=256)
    paper.refresh()
    monitor = monitor_of(paper, Rules(grace=30, realms=RULES.realms, again=1))
    assert monitor.round() == []
    an_entry(paper, first)
    size = int(paper.file(first, "checkpoint").read_text().split("\n")[1])
    found = set[tuple[str, str]]()
    for _ in range(size // 256 + 1):
        found |= codes(monitor.round())
    assert found == {(Code.ENTRY_EDITED.value, first.log_id)}
    monitor.round()
    assert not monitor.report().sound, "a bundle in doubt is looked at in every round"


def test_a_sweep_comes_by_every_bundle_and_forgets_no_doubt() -> None:
    sweep = Sweep()
    assert sweep.turn(0, 8) == []
    seen = [number for _ in range(10) for number in sweep.turn(2_501, 1)]
    assert sorted(seen) == list(range(10))
    sweep.judged(3, sound=False)
    assert all(3 in sweep.turn(2_501, 1) for _ in range(10))
    sweep.judged(3, sound=True)
    assert sum(3 in sweep.turn(2_501, 1) for _ in range(10)) == 1
