"""The catalogue finds the same rows on Spark as on DuckDB: one definition, two engines."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")
pytest.importorskip("pyspark", reason="THE EXTRA `spark` IS ABSENT: install sealwright[spark]")

from sealwright.detection.catalogue.examples import EXAMPLES
from sealwright.detection.catalogue.expressions import EXPRESSIONS
from sealwright.detection.catalogue.model import Row
from sealwright.detection.catalogue.world import World, quiet_params
from sealwright.detection.engine import DuckEngine, findings, write_segment
from sealwright.detection.spark import SparkEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.enable_socket,  # driver and executors speak over loopback
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # Spark's own use of pandas and of Python
    pytest.mark.skipif(shutil.which("java") is None, reason="JAVA IS ABSENT: Spark needs it"),
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every positive and every near miss in one world."""
    world, folder = World(), tmp_path_factory.mktemp("lake")
    for example in EXAMPLES.values():
        example.positive(world)
        example.near_miss(world)
    for table, rows in world.finish().rows.items():
        if rows:
            write_segment(folder, table, "1", rows)
    return folder


@pytest.fixture(scope="module")
def on_duckdb(lake: Path) -> list[Row]:
    engine = DuckEngine(lake)
    found = list(findings(engine.tables(), quiet_params()))
    engine.close()
    return found


@pytest.fixture(scope="module")
def spark(lake: Path) -> Iterator[SparkEngine]:
    with pytest.MonkeyPatch.context() as patch:
        # What runs for a minute is not worth the optimising compiler: two fifths of the CPU.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        engine = SparkEngine(lake)
    yield engine
    engine.close()


def order(row: Row) -> tuple[str, str, float]:
    return row.code, row.subject, row.at


def test_every_detection_finds_the_same_rows_on_both_engines(
    on_duckdb: list[Row], spark: SparkEngine
) -> None:
    assert {row.code for row in on_duckdb} == set(EXPRESSIONS), "a detection without rows proves nothing"
    on_spark = list(findings(spark.tables(), quiet_params()))
    assert sorted(on_spark, key=order) == sorted(on_duckdb, key=order)


def test_an_empty_lake_is_quiet_on_spark_too(spark: SparkEngine, tmp_path: Path) -> None:
    engine = SparkEngine(tmp_path)
    assert list(findings(engine.tables(), quiet_params())) == []
