"""Logs and facts that others published, read and checked by our own tiles, trees and proofs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sealwright.ledger.folder import Folder
from sealwright.ledger.fsck_files import FileCheck
from sealwright.ledger.merkle import Frontier, leaf_hash
from sealwright.ledger.note import open_checkpoint, parse_vkey
from sealwright.ledger.proofs import Tree
from sealwright.ledger.tiles import TileWriter, decode_bundle, tile_path
from sealwright_validate.merkle import require_consistency, require_inclusion

VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SIZE = 15


@pytest.fixture(scope="module")
def vectors() -> Path:
    beside = Path(__file__).resolve().parents[4].parent / "shared" / "vectors"
    folder = Path(os.environ.get("SEALWRIGHT_VECTORS", beside)) / "transparency"  # noqa: TID251 - a test
    if not folder.is_dir():
        pytest.skip(
            f"REFERENCE VECTORS ABSENT: {folder} is no folder; put them there or set SEALWRIGHT_VECTORS"
        )
    return folder


@pytest.fixture(scope="module")
def foreign(vectors: Path) -> Path:
    """A log that Tessera wrote: fifteen entries, every partial tile and checkpoint of the way there."""
    return vectors / "tessera-testlog" / "testdata" / "log"


def entries(foreign: Path) -> list[bytes]:
    return list(decode_bundle((foreign / f"tile/entries/000.p/{SIZE}").read_bytes()))


def test_every_file_of_the_foreign_log_is_what_our_tiles_give(foreign: Path) -> None:
    damages: list[tuple[object, ...]] = []
    check = FileCheck([Folder(foreign.parent)], foreign.name, SIZE, lambda *damage: damages.append(damage))
    for entry in entries(foreign):
        check.add(entry)
    check.finish()
    assert damages == []
    assert check.checked == 2 * SIZE


def test_every_entry_and_every_pair_of_heads_of_the_foreign_log_is_proven(foreign: Path) -> None:
    verifier, frontier = parse_vkey(VKEY), Frontier()
    heads = [open_checkpoint((foreign / "checkpoint.0").read_text(), verifier)]
    for size, entry in enumerate(entries(foreign), 1):
        frontier.append(leaf_hash(entry))
        heads.append(open_checkpoint((foreign / f"checkpoint.{size}").read_text(), verifier))
        assert (heads[size].size, heads[size].root) == (size, frontier.root())
    tree = Tree(lambda level, _, width: (foreign / f"tile/{level}/000.p/{width}").read_bytes())
    for second in range(1, SIZE + 1):
        for index in range(second):
            path = tree.inclusion(index, second)
            require_inclusion(leaf_hash(entries(foreign)[index]), index, second, path, heads[second].root)
        for first in range(1, second + 1):
            proof = tree.consistency(first, second)
            require_consistency(first, second, heads[first].root, heads[second].root, proof)


def test_our_writer_gives_the_foreign_logs_files(foreign: Path, tmp_path: Path) -> None:
    writer = TileWriter(tmp_path)
    for entry in entries(foreign):
        writer.append(entry)
    writer.publish((foreign / "checkpoint").read_text())
    for name in (f"tile/entries/000.p/{SIZE}", f"tile/0/000.p/{SIZE}", "checkpoint"):
        assert (tmp_path / name).read_bytes() == (foreign / name).read_bytes()


def test_tiles_are_cut_as_the_specification_says(vectors: Path, tmp_path: Path) -> None:
    facts = json.loads((vectors / "c2sp-spec" / "tile-facts.json").read_text())
    writer = TileWriter(tmp_path)
    writer.extend([b"%d" % number for number in range(facts["tree_size"])], write=False)
    writer.publish("x")
    for level in (0, 1, 2):
        number, width = facts.get(f"level{level}_full", 0), facts[f"level{level}_partial"]
        assert (tmp_path / f"tile/{level}/{tile_path(number)}.p/{width}").is_file()
    for number, path in facts["index_path"].items():
        assert tile_path(int(number)) == path
