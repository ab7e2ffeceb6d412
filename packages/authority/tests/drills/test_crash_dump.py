"""The drill holds with every control on, and fails with one of them off (the gate's own: packages/dumps)."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority_support.drilling import blamed, controls, drill, failed
from sealwright.drills.crash_dump import signer_memory
from sealwright.drills.crash_dump.ground import Control, Ground
from sealwright_dumps.drill.attacks import CONTROLS
from sealwright_signer.client import command

NAME = "crash-dump"
pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(240)]


def test_the_controls_are_those_of_the_gate_and_two_more() -> None:
    assert {str(control) for control in Control} == {*CONTROLS, "secret-memory", "no-core"}


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(NAME, capsys)
    if "impossible" in steps[0]["observed"]:
        pytest.skip(f"NOT POSSIBLE HERE: {steps[0]['observed']}")
    assert failed(steps) == {}
    shown = controls(steps)
    if os.geteuid() != 0:  # only root can attack the first
        shown = shown | {"secret-memory"}
    assert shown == {str(one) for one in Control}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another process's memory cannot be read")
def test_without_secret_memory_the_signers_keys_are_in_its_dump(capsys: pytest.CaptureFixture[str]) -> None:
    told = failed(drill(NAME, capsys, "secret-memory"))
    assert list(told) == ["1-signer-memory"]
    assert told["1-signer-memory"].endswith("copies of keys")


def test_a_control_of_the_gate_that_is_off_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert blamed(drill(NAME, capsys, "second-detector")) - {"secret-memory"} == {"second-detector"}


def ground(folder: Path, *flaws: str) -> Ground:
    return Ground(folder, flaws)


@pytest.fixture
def core_lock() -> Iterator[None]:
    """core_pattern is the whole machine's: tests of the dump gate change it under this lock."""
    with Path(tempfile.gettempdir(), "core_pattern.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("core_lock")
def test_a_signer_that_may_be_dumped_leaves_a_core(tmp_path: Path) -> None:
    """The positive control of the crash: where this host writes cores at all."""
    program = "import os; os.abort()"
    ordinary = subprocess.Popen(
        ["/bin/sh", "-c", 'ulimit -c "$(ulimit -Hc)"; exec "$0" -c "$1"', sys.executable, program],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    _, status = os.waitpid(ordinary.pid, 0)
    ordinary.returncode = os.waitstatus_to_exitcode(status)
    if not os.WCOREDUMP(status):
        pytest.skip("THIS HOST WRITES NO CORES: core_pattern or a hard limit forbids it")
    (finding,) = signer_memory.crash(ground(tmp_path, "no-core"))
    assert (finding.observed, finding.held) == (signer_memory.CORE, False)
    (finding,) = signer_memory.crash(ground(tmp_path))
    assert (finding.observed, finding.held) == (signer_memory.NO_CORE, True)


def test_who_is_not_let_read_the_memory_shows_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signer_memory, "_search", lambda *_args: signer_memory.UNREADABLE)
    (finding,) = signer_memory.run(ground(tmp_path))
    assert finding.control is None
    assert finding.observed.startswith("not shown here: only root")
    assert finding.held
    (finding,) = signer_memory.run(ground(tmp_path, "secret-memory"))
    assert not finding.held


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another process's memory cannot be read")
def test_where_secret_memory_is_impossible_the_drill_says_so_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host without memfd_secret, as a signer on it would tell: the keys are there, and it is no success."""
    boot = signer_memory._READABLE.replace(
        "isolation.BEFORE_KEYS = isolation.BEFORE_KEYS[:2]",
        "def secret_memory():\n    raise OSError(38, 'Function not implemented')\n"
        "isolation.BEFORE_KEYS = (*isolation.BEFORE_KEYS[:3], secret_memory)",
    )
    lame = [*command()[:4], boot, *command()[5:]]
    original = signer_memory._started
    monkeypatch.setattr(signer_memory, "_started", lambda place, _program: original(place, lame))
    memory, rest = signer_memory.run(ground(tmp_path))
    assert not memory.held
    assert memory.observed.endswith("copies of keys (impossible: Function not implemented)")
    assert rest.held
    assert "not_dumpable" in rest.observed.partition("impossible: secret_memory")[0]
