"""The authority's own ML-DSA-44 line: it verifies, can be demanded, and is not given to a tree that forks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from authority_support.witnesses import ForkingScribe, TestClock, log_key
from sealwright.cli.main import main
from sealwright.config import Config, StateConfig
from sealwright.config.model import WitnessConfig
from sealwright.detection.memory import MemoryAlarmStore
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.model import Log
from sealwright.ledger.tiles import TileWriter
from sealwright.wiring.cosigner import own_cosigner
from sealwright.wiring.witnessing import Witnessing
from sealwright_validate.cosignature import ML_DSA_44
from sealwright_validate.note import open_checkpoint
from sealwright_validate.witnesses import WitnessPolicy


class Publishing:
    """What a publisher does with a log, and who looks at it."""

    def __init__(self, directory: Path, scribe: ForkingScribe, policy: str = "") -> None:
        self.scribe, self.directory, self.clock = scribe, directory, TestClock()
        self.alarms = MemoryAlarmStore()
        witness = WitnessConfig(own=True, policy=policy)
        self.config = msgspec.structs.replace(Config(), state=StateConfig(str(directory)), witness=witness)
        self.files = LedgerFiles(directory / "ledger")
        self._witnessing = Witnessing.of(
            self.config, self.clock, self.files, self.alarms, CollectorRegistry()
        )
        self._writer = TileWriter(self.files.hot / scribe.log_id)
        self.policy_vkey = own_cosigner(self.config, lambda *_: (), self.clock).vkey
        self.policy = WitnessPolicy.parse(f"witness own {self.policy_vkey}\nquorum own")

    def publish(self, leaves: list[bytes]) -> str:
        """Write the tiles of the scribe's head and publish what there is of it."""
        self._writer.extend(leaves[self._writer.size :])
        self._writer.cover()
        scribe = self.scribe
        stored = Log(scribe.log_id, scribe.origin, scribe.vkey, len(leaves), scribe.checkpoint(), None)
        note = self._witnessing.cosign(stored)
        self._writer.publish(note)
        return note

    @property
    def waiting(self) -> list[str]:
        return self._witnessing.waiting()

    def cosigned(self, note: str) -> dict[str, int]:
        return self.policy.cosigned(note, open_checkpoint(note, log_key(self.scribe)))


@pytest.fixture
def scribe() -> ForkingScribe:
    return ForkingScribe()


def test_each_published_head_carries_a_line_that_verifies_and_can_be_demanded(
    tmp_path: Path, scribe: ForkingScribe
) -> None:
    publishing = Publishing(tmp_path, scribe)
    [witness] = publishing.policy.witnesses.values()
    assert witness.key.kind == ML_DSA_44
    for count in (3, 0, 300, 1):
        if count:
            scribe.grow(count)
        note = publishing.publish(scribe.leaves)
        assert note.startswith(scribe.checkpoint()), "the log's own line comes first, and stays as it is"
        assert publishing.cosigned(note) == {"own": int(publishing.clock.now())}
    assert publishing.alarms.page(0, 10) == []


def test_the_same_head_is_not_cosigned_twice(tmp_path: Path, scribe: ForkingScribe) -> None:
    publishing = Publishing(tmp_path, scribe)
    scribe.grow(5)
    before = publishing.publish(scribe.leaves)
    publishing.clock.time += 60
    assert publishing.publish(scribe.leaves) == before


def test_after_a_restart_it_goes_on_from_where_it_was(tmp_path: Path, scribe: ForkingScribe) -> None:
    scribe.grow(5)
    before = Publishing(tmp_path, scribe).publish(scribe.leaves)
    again = Publishing(tmp_path, scribe)
    assert again.publish(scribe.leaves) == before
    scribe.grow(400)
    assert again.cosigned(again.publish(scribe.leaves)) != {}


@pytest.mark.parametrize(("back", "more"), [(2, 0), (2, 1), (2, 2), (2, 300)])
def test_a_head_that_goes_back_or_forks_gets_no_line_and_raises_one_alarm(
    tmp_path: Path, scribe: ForkingScribe, back: int, more: int
) -> None:
    scribe.grow(10)
    Publishing(tmp_path, scribe).publish(scribe.leaves)
    fork = scribe.fork(10 - back)
    if more:
        fork.grow(more, start=5_000)
    publishing = Publishing(tmp_path, fork)
    for _ in range(2):
        assert publishing.publish(fork.leaves) == fork.checkpoint(), "it is published all the same"
    alarms = [one.alarm for one in publishing.alarms.page(0, 10)]
    assert [(alarm.code, alarm.facts["log_id"]) for alarm in alarms] == [("witness_refused", scribe.log_id)]


def test_the_operators_own_policy_can_count_it(tmp_path: Path, scribe: ForkingScribe) -> None:
    file = tmp_path / "policy.txt"
    file.write_text(f"witness own {Publishing(tmp_path, scribe).policy_vkey}\nquorum own\n")
    publishing = Publishing(tmp_path, scribe, str(file))
    scribe.grow(2)
    assert publishing.cosigned(publishing.publish(scribe.leaves)) != {}
    assert publishing.waiting == []


def test_the_command_prints_the_line_for_a_policy(
    tmp_path: Path, scribe: ForkingScribe, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sealwright.toml"
    file.write_text(f'[state]\ndirectory = "{tmp_path}"\n[witness]\nown = true\n')
    assert main(["ledger", "cosigner", "--config", str(file)]) == 0
    told = capsys.readouterr().out
    assert told == f"witness own {Publishing(tmp_path, scribe).policy_vkey}\n"
    WitnessPolicy.parse(f"{told}quorum own")
    assert main(["ledger", "cosigner", "--state", str(tmp_path)]) == 2
