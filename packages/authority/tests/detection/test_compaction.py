"""Small segments become one without losing, doubling or moving a row, also over a crash in between."""

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

import pyarrow.parquet as pq

from sealwright.detection import compaction
from sealwright.detection.compaction import tidy
from sealwright.detection.engine import write_segment
from sealwright.detection.export import segments

LOG, OTHER = "abcdefghijklmnop", "qrstuvwxyzabcdef"
PARTS = 6


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compaction, "ENOUGH", 4)
    for number in range(PARTS):
        for log in (LOG, OTHER):
            rows = [{"log_id": log, "idx": number * 10 + n, "digest": f"{n}"} for n in range(10)]
            write_segment(tmp_path, "issued", f"{log}-{number * 10:012}-{number * 10 + 10:012}", rows)
        seen = [{"id": f"{number}-{n}", "reporter": "mail"} for n in range(3)]
        write_segment(tmp_path, "observed", f"{number + 1:012}-{number + 1:012}", seen)
    return tmp_path


def content(lake: Path) -> dict[str, list[Any]]:
    """Every row of each table, in the order of the segments."""
    return {
        table: [row for path in segments(lake, table) for row in pq.read_table(path).to_pylist()]
        for table in ("issued", "observed")
    }


def names(lake: Path, table: str) -> list[str]:
    return [path.stem for path in segments(lake, table)]


def test_small_neighbours_become_one_with_the_same_rows_in_the_same_order(lake: Path) -> None:
    before = content(lake)
    assert tidy(lake) == 3 * (PARTS - 1)
    assert names(lake, "issued") == [f"{log}-000000000000-000000000060" for log in (LOG, OTHER)]
    assert names(lake, "observed") == ["000000000001-000000000006"]
    assert content(lake) == before
    assert tidy(lake) == 0


def test_parts_that_a_crash_left_beside_their_merge_are_removed(lake: Path, tmp_path: Path) -> None:
    before = content(lake)
    kept = tmp_path / "kept"
    shutil.copytree(lake / "issued", kept)
    tidy(lake)
    for part in list(kept.glob(f"{LOG}-*.parquet"))[2:]:
        shutil.copy(part, lake / "issued" / part.name)
    assert tidy(lake) == PARTS - 2
    assert content(lake) == before


def test_a_few_segments_and_large_ones_stay_as_they_are(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(lake, "issued")
    monkeypatch.setattr(compaction, "ENOUGH", PARTS + 1)
    assert tidy(lake) == 0
    monkeypatch.setattr(compaction, "ENOUGH", 2)
    monkeypatch.setattr(compaction, "SMALL", 0)
    assert tidy(lake) == 0
    assert names(lake, "issued") == before
