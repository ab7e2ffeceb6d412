"""Findings over history become alarms beside those of the stream, and the same finding is one alarm."""

from pathlib import Path

import pytest

pytest.importorskip("ibis", reason="THE EXTRA `detect` IS ABSENT: install sealwright[detect]")

from sealwright.detection.catalogue.examples import EXAMPLES
from sealwright.detection.catalogue.world import World, digest_of, quiet_params
from sealwright.detection.engine import DuckEngine, write_segment
from sealwright.detection.hunting import hunt
from sealwright.detection.memory import MemoryAlarmStore
from sealwright.detection.model import Code
from sealwright.detection.rules import alarm_id


def test_a_hunt_raises_each_finding_once(tmp_path: Path) -> None:
    world = World()
    for code in ("never_issued", "first_seen_client", "trust_changed"):
        EXAMPLES[code].positive(world)
    for table, rows in world.finish().rows.items():
        if rows:
            write_segment(tmp_path, table, "1", rows)
    engine, alarms = DuckEngine(tmp_path), MemoryAlarmStore()
    new = hunt(engine.tables(), quiet_params(), alarms)
    assert {stored.alarm.code for stored in new} == {"never_issued", "first_seen_client", "trust_changed"}
    assert hunt(engine.tables(), quiet_params(), alarms) == []
    engine.close()
    forged = next(stored.alarm for stored in new if stored.alarm.code == "never_issued")
    assert forged.id == alarm_id(Code.NEVER_ISSUED, digest_of("forged")), "the stream's alarm has another id"
    assert forged.facts["tenant"] == "tenant-a"
