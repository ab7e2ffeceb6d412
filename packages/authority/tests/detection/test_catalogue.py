"""Every detection finds its true positive and leaves its near miss alone; a quiet world is quiet."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.detection.catalogue.entries import BY_CODE, CATALOGUE
from sealwright.detection.catalogue.examples import EXAMPLES
from sealwright.detection.catalogue.expressions import EXPRESSIONS
from sealwright.detection.catalogue.model import TABLES, Params, Row
from sealwright.detection.catalogue.world import NOW, World, quiet_params
from sealwright.detection.engine import DuckEngine, findings, write_segment
from sealwright.detection.model import Code

Found = Callable[[World], list[Row]]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckEngine]:
    """One engine for all: connecting costs more than any of the queries."""
    opened = DuckEngine(Path("no lake yet"))
    yield opened
    opened.close()


@pytest.fixture
def found(tmp_path: Path, engine: DuckEngine) -> Callable[..., list[Row]]:
    def run(world: World, *codes: str, params: Params | None = None) -> list[Row]:
        for table, rows in world.finish().rows.items():
            if rows:
                write_segment(tmp_path, table, "1", rows)
        engine.lake = tmp_path
        return list(findings(engine.tables(), params or quiet_params(), codes or None))

    return run


def test_a_quiet_world_is_quiet(found: Callable[..., list[Row]]) -> None:
    assert found(World()) == []


def test_the_catalogue_has_an_expression_and_an_example_for_each_detection_and_nothing_else() -> None:
    assert len(CATALOGUE) == len(BY_CODE) >= 20
    assert set(BY_CODE) == set(EXPRESSIONS) == set(EXAMPLES)


def test_every_alarm_of_the_stream_is_in_the_catalogue() -> None:
    assert {code.value for code in Code} - set(BY_CODE) == {
        "detection_stalled",
        "witness_refused",
        "witness_quorum_missed",
    }


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_true_positive_is_found(code: str, found: Callable[..., list[Row]]) -> None:
    world = World()
    EXAMPLES[code].positive(world)
    rows = found(world, code)
    assert [row.code for row in rows] == [code]
    assert rows[0].subject
    assert rows[0].count >= 1


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_near_miss_is_left_alone(code: str, found: Callable[..., list[Row]]) -> None:
    world = World()
    EXAMPLES[code].near_miss(world)
    assert found(world, code) == []


def test_what_was_found_before_is_history_now(found: Callable[..., list[Row]], tmp_path: Path) -> None:
    """Findings are about what arrived since the last run, whatever lies in the lake."""
    world = World()
    EXAMPLES["never_issued"].positive(world)
    world.rows["observed"][-1]["received_at"] = quiet_params().since - 0.001
    assert found(world, "never_issued") == []


def test_every_description_says_what_it_means_and_what_to_do() -> None:
    for detection in CATALOGUE:
        assert detection.means.endswith(".")
        assert detection.do.endswith(".")
        assert detection.attack
        assert all(technique.startswith("T") for technique in detection.attack)
        assert 0 < detection.confidence <= 100


def test_the_quiet_world_fills_every_table_that_detections_read() -> None:
    world = World().finish()
    empty = {name for name in TABLES if not world.rows[name]}
    assert empty == {"revocations", "changes"}


def head(world: World, log: str, ago: float, witnesses: int, *, live: bool = True) -> None:
    world.add("checkpoints", log_id=log, size=5, root="a", at=NOW - ago, witnesses=witnesses, live=live)


def test_a_log_is_unwitnessed_only_while_it_lives_and_has_had_time(found: Callable[..., list[Row]]) -> None:
    world = World()
    asked = replace(quiet_params(), witnesses=1)
    for ago in (400, 100):
        head(world, "log-never-witnessed", ago, 0)
        head(world, "log-of-the-past", ago + 50, 0)
        head(world, "log-missed-once", ago, 2 if ago == 400 else 0)
    head(world, "log-missed-once", 250, 2)
    head(world, "log-of-the-past", 20, 0, live=False)
    head(world, "log-just-begun", 100, 0)
    rows = found(world, "checkpoint_unwitnessed", params=asked)
    assert [row.subject for row in rows] == ["log-never-witnessed"]


def test_a_leaf_without_record_says_nothing_of_its_client(found: Callable[..., list[Row]]) -> None:
    world = World()
    world.issue(client_id=None, event_id=None, scope=None)
    inside = ("client_disabled", "scope_beyond_policy", "issued_without_grant")
    assert found(world, *inside) == []
    world.observe(world.rows["issued"][-1])
    assert [row.code for row in found(world, *inside)] == ["issued_without_grant"]


def test_a_reporter_from_the_future_does_not_let_a_token_expire(found: Callable[..., list[Row]]) -> None:
    world = World()
    world.observe(world.issue(), at=NOW + 365 * 86_400, received_at=NOW - 20)
    assert found(world, "used_after_expiry") == []
