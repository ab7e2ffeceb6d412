"""A gate that is killed, has a fault of its own, or gets two crashes at once loses and lets out nothing."""

from __future__ import annotations

import io
import queue
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.cli.main import main
from sealwright_dumps.drill.sandbox import Sandbox, small_core
from sealwright_dumps.errors import DumpsError, Unavailable
from sealwright_dumps.gate import signing
from sealwright_dumps.gate.coredump import Listener
from sealwright_dumps.gate.ledger import FileLedger, require_unbroken
from sealwright_dumps.gate.model import Origin, State
from sealwright_dumps.gate.service import Gate
from sealwright_dumps.gate.verify import require_released

OTHER = Origin("pipe", "/usr/bin/other")


def ignore(_text: str) -> None:
    """Nobody listens."""


def test_a_gate_that_starts_again_processes_what_waits_and_drops_what_is_half(place: Sandbox) -> None:
    waiting = place.gate.take_in(io.BytesIO(small_core()).read, OTHER)
    place.gate.spool.quarantined("0" * 32).write_bytes(small_core())
    listener = Listener(place.gate, place.gate.spool.root / "core.sock", ignore)
    listener.settle()
    listener.close()
    assert place.gate.spool.get(waiting.name).state is State.REDACTED
    assert place.gate.spool.in_quarantine() == []
    assert place.steps.steps == ["quarantined", "dropped", "redacted"]


def test_a_gate_with_a_fault_of_its_own_ends_and_keeps_the_dump(
    place: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = place.gate.take_in(io.BytesIO(small_core()).read, OTHER)

    def fault(_self: Gate, _name: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Gate, "process", fault)
    faults: queue.Queue[Any] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", faults.put)
    listener = Listener(place.gate, place.gate.spool.root / "core.sock", ignore)
    with pytest.raises(Unavailable):
        listener.serve_one()
    listener.close()
    listener._worker.join(60)  # it tells its fault after it has hung up
    assert place.gate.spool.in_quarantine() == [waiting.name]
    assert faults.get(timeout=60).exc_type is ZeroDivisionError  # the thread ends after it hung up


def test_a_sparse_terabyte_is_refused_without_being_read(place: Sandbox, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DumpsError) as caught:
        place.gate.take_in_file(tmp_path / "sparse", OTHER.program)
    assert caught.value.code == "too-large"
    assert place.gate.spool.in_quarantine() == []


def test_the_chain_of_steps_can_be_kept_elsewhere(
    place: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "core").write_bytes(small_core())
    options = [*place.options, f"--ledger={tmp_path / 'kept.jsonl'}"]
    assert main(["gate", "intake", *options, "--program=/usr/bin/other", str(tmp_path / "core")]) == 0
    assert main(["gate", "check", *options]) == 0
    assert "2 steps" in capsys.readouterr().out
    assert not (place.gate.spool.root / "ledger.jsonl").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from sealwright_dumps.cli.main import main
moment, fork = int(sys.argv[1]), os.fork
count = 0
def counted(call):
    def wrapper(*given, **named):
        global count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **named)
    return wrapper
for name in ("link", "replace", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
sys.exit(main(sys.argv[2:]))
"""


def killed_at(moment: int, *arguments: str) -> int:
    """Run a command that is killed at its n-th system call that matters; its status."""
    command = [sys.executable, "-c", KILLED, str(moment), *arguments]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


def told_of_release(chain: Path, name: str) -> list[str]:
    steps = [str(step["step"]) for step in require_unbroken(chain) if step.get("name") == name]
    return [step for step in steps if step in ("releasing", "released", "withheld")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_at_any_moment_loses_no_dump_and_lets_out_none_without_its_proof(place: Sandbox) -> None:
    chain = place.gate.spool.root / "ledger.jsonl"
    place = replace(place, gate=replace(place.gate, ledger=FileLedger(chain)))
    gate, person, moment = place.gate, place.people[0], 0
    key, people = signing.public_text(gate.key), {"alice": person.public}
    redaction = release = -9
    while -9 in (redaction, release):
        moment += 1
        name = gate.take_in(io.BytesIO(small_core(b"")).read, OTHER).name
        redaction = killed_at(moment, "gate", "process", *place.options)
        assert main(["gate", "process", *place.options]) == 0
        assert gate.spool.get(name).state is State.REDACTED, f"lost when killed at {moment}"
        assert gate.spool.in_quarantine() == []
        place.approve(name, person)
        release = killed_at(moment, "gate", "release", *place.options, name)
        outside = sorted(path.suffix for path in gate.outside.glob(f"{name}.*"))
        assert outside in ([], [".json"], [".dump", ".json"]), moment
        told = told_of_release(chain, name)
        assert "released" not in told or ".dump" in outside, moment
        assert told or not outside, moment
        if gate.spool.get(name).state is not State.RELEASED:
            assert main(["gate", "release", *place.options, name]) == 0, f"lost when killed at {moment}"
        released = gate.outside / f"{name}.dump"
        proof = require_released(released, released.with_suffix(".manifest.json"), key, people)
        assert proof["name"] == name
        told = told_of_release(chain, name)
        assert told[-1] == "released", moment
        assert told.count("released") == 1, moment
        assert main(["gate", "check", *place.options]) == 0
    assert (redaction, release) == (0, 0)
    assert moment > 5


def test_what_the_ledger_did_not_take_is_redacted_at_the_next_try(place: Sandbox) -> None:
    record = place.gate.take_in(io.BytesIO(small_core(b"")).read, OTHER)
    place.steps.broken = True
    with pytest.raises(Unavailable):
        place.gate.process(record.name)
    place.steps.broken = False
    assert place.gate.process(record.name).state is State.REDACTED


def test_what_lies_outside_under_a_dumps_name_is_not_taken_for_it(place: Sandbox) -> None:
    name = place.redacted(small_core(b""))
    place.approve(name, place.people[0])
    (place.gate.outside / f"{name}.dump").write_bytes(small_core())
    with pytest.raises(DumpsError) as caught:
        place.gate.release(name)
    assert caught.value.code == "output-exists"


def test_what_another_process_is_taking_in_is_not_taken_for_left_behind(place: Sandbox) -> None:
    place.gate.spool.quarantined("0" * 32).write_bytes(small_core())
    with place.gate.spool.taking():
        assert place.gate.recover() == []
        assert place.gate.spool.in_quarantine() == ["0" * 32]
    place.gate.recover()
    assert place.gate.spool.in_quarantine() == []
