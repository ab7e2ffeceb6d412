"""Witnesses reach the alarms and the metrics of the authority, and a policy that cannot be used is told at
start.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from authority_support.witnesses import ForkingScribe, TestClock, vkey_of_nobody
from sealwright.config import Config
from sealwright.config.model import WitnessConfig
from sealwright.detection.memory import MemoryAlarmStore
from sealwright.errors import Misconfigured
from sealwright.ledger.cosigning import QUORUM_PATIENCE
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.model import Log
from sealwright.wiring.witnessing import Witnessing
from signer_support.ports import reserved_port


class Wired:
    """The authority's side with one witness where nobody listens."""

    def __init__(self, directory: Path, policy: str) -> None:
        file = directory / "policy.txt"
        file.write_text(policy)
        config = msgspec.structs.replace(Config(), witness=WitnessConfig(policy=str(file), timeout=1))
        self.clock, self.alarms, self.registry = TestClock(), MemoryAlarmStore(), CollectorRegistry()
        files = LedgerFiles(directory / "ledger")
        self.witnessing = Witnessing.of(config, self.clock, files, self.alarms, self.registry)

    def metric(self, name: str) -> float:
        lines = generate_latest(self.registry).decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def stored(scribe: ForkingScribe) -> Log:
    return Log(scribe.log_id, scribe.origin, scribe.vkey, scribe.frontier.size, scribe.checkpoint(), None)


@pytest.mark.enable_socket
def test_a_missed_quorum_becomes_one_alarm_and_a_figure_and_the_head_is_given_out(tmp_path: Path) -> None:
    wired = Wired(tmp_path, f"witness w {vkey_of_nobody()} http://127.0.0.1:{reserved_port()}\nquorum w\n")
    scribe = ForkingScribe()
    for _ in range(3):
        scribe.grow(1)
        assert wired.witnessing.cosign(stored(scribe)) == scribe.checkpoint()
        wired.clock.time += QUORUM_PATIENCE
    alarms = [one.alarm for one in wired.alarms.page(0, 10)]
    assert [(alarm.code, alarm.severity.value) for alarm in alarms] == [("witness_quorum_missed", "high")]
    assert alarms[0].facts["log_id"] == scribe.log_id
    assert wired.metric("sealwright_witness_quorum_missed") == 1
    assert wired.metric("sealwright_witnesses_failing") == 1
    assert wired.witnessing.waiting() == [scribe.log_id]
    status = wired.witnessing.status()
    assert status["quorum_missed"].keys() == {scribe.log_id}
    assert status["witnesses"][0]["failures"] > 0


@pytest.mark.enable_socket
def test_alarms_that_cannot_be_stored_stop_nobody(tmp_path: Path) -> None:
    wired = Wired(tmp_path, f"witness w {vkey_of_nobody()} http://127.0.0.1:{reserved_port()}\nquorum w\n")
    wired.alarms.down = True
    scribe = ForkingScribe()
    for _ in range(2):
        scribe.grow(1)
        assert wired.witnessing.cosign(stored(scribe)) == scribe.checkpoint()
        wired.clock.time += QUORUM_PATIENCE


def test_without_a_policy_nobody_is_asked(tmp_path: Path) -> None:
    files, alarms, registry = LedgerFiles(tmp_path), MemoryAlarmStore(), CollectorRegistry()
    witnessing = Witnessing.of(Config(), TestClock(), files, alarms, registry)
    scribe = ForkingScribe()
    scribe.grow(1)
    assert witnessing.cosign(stored(scribe)) == scribe.checkpoint()
    assert witnessing.status() == {"witnesses": [], "quorum_missed": {}}
    assert witnessing.waiting() == []


@pytest.mark.parametrize("policy", ["", "quorum w", "witness w nonsense http://127.0.0.1:9\nquorum w"])
def test_a_policy_that_is_none_is_told_at_start(tmp_path: Path, policy: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Wired(tmp_path, policy)
    assert caught.value.code == "witness_policy"
