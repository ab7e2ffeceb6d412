"""The generated world repeats itself, and the catalogue finds every contradiction that is hidden in it."""

from pathlib import Path

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.cli.main import main
from sealwright.detection.catalogue.entries import BY_CODE
from sealwright.detection.engine import DuckEngine
from sealwright.detection.lab.attacks import Truth
from sealwright.detection.lab.generate import generate, read_truth
from sealwright.detection.lab.score import Score, as_markdown, score
from sealwright.detection.lab.traffic import Plan

CONTRADICTION = 95
"""From this confidence on a detection says that something cannot be, and may neither miss nor be wrong."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("world")
    return folder, generate(folder, Plan(seed=7, events=6_000, people=1_200))


def test_the_truth_is_written_beside_the_world_and_names_the_catalogues_codes(
    world: tuple[Path, Truth],
) -> None:
    folder, truth = world
    assert read_truth(folder) == truth
    assert truth.keys() <= BY_CODE.keys()
    assert len(truth["never_issued"]) == 320


def test_one_seed_is_one_world_and_another_seed_is_another(world: tuple[Path, Truth], tmp_path: Path) -> None:
    assert generate(tmp_path / "same", Plan(seed=7, events=6_000, people=1_200)) == world[1]
    assert generate(tmp_path / "other", Plan(seed=8, events=6_000, people=1_200)) != world[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_hidden_contradiction_is_found_and_none_is_made_up(world: tuple[Path, Truth]) -> None:
    engine = DuckEngine(world[0])
    scores: list[Score] = score(engine.tables(), world[1])
    engine.close()
    certain = [one for one in scores if BY_CODE[one.code].confidence >= CONTRADICTION]
    assert [one for one in certain if one.missed or one.false_alarms] == []
    assert sum(one.found for one in certain) > 500
    by_code = {one.code: one for one in scores}
    for guess in ("low_and_slow", "volume_burst", "impossible_travel", "token_replayed"):
        assert by_code[guess].recall == 1.0
    assert "| `never_issued` | 320 | 320 | 0 | 0 | 1.000 | 1.000 | at once |" in as_markdown(scores)


def test_the_table_is_only_written_where_there_is_a_place_for_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no table here\n")
    assert main(["lab", "report", "--events", "1000", "--write", str(page)]) == 2
    assert page.read_text() == "no table here\n"
