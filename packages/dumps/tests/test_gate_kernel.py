from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealwright_dumps.drill.sandbox import Sandbox
from sealwright_dumps.gate import policy
from sealwright_dumps.gate.model import State
from sealwright_dumps.gate.service import Gate

Listen = Callable[[Gate], Any]


@pytest.mark.root
@pytest.mark.slow
def test_the_kernel_asks_the_gate_before_it_writes_a_core(place: Sandbox, listening: Listen) -> None:
    heard = listening(place.gate)
    pid = heard.crash()
    heard.settle()
    (record,) = [r for r in place.gate.spool.records() if r.origin.pid == pid]
    assert (record.state, record.origin.route, record.reason) == (State.REDACTED, "socket", ""), (
        heard.refusals
    )
    assert record.origin.program == os.path.realpath(sys.executable)
    assert record.size > 1 << 20


@pytest.mark.root
@pytest.mark.slow
def test_the_gate_refuses_before_a_byte_is_written(place: Sandbox, listening: Listen) -> None:
    never = policy.Class("never", ("*",), accept=False, approvals=1)
    gate = replace(place.gate, policy=replace(place.gate.policy, classes=(never,)))
    heard = listening(gate)
    heard.crash()
    heard.settle()
    assert list(gate.spool.records()) == []
    assert set(place.steps.steps) == {"rejected"}
    assert "not-accepted" in heard.refusals[0]


@pytest.mark.root
@pytest.mark.slow
def test_two_programs_that_crash_at_once_are_two_dumps(place: Sandbox, listening: Listen) -> None:
    heard, both, pids = listening(place.gate), threading.Barrier(2), list[int]()

    def crash() -> None:
        both.wait(60)
        pids.append(heard.crash())

    programs = [threading.Thread(target=crash) for _ in range(2)]
    for thread in programs:
        thread.start()
    for thread in programs:
        thread.join()
    heard.settle()
    ours = [r for r in place.gate.spool.records() if r.origin.pid in pids]
    assert [(r.state, r.origin.route) for r in ours] == [(State.REDACTED, "socket")] * 2, heard.refusals


@pytest.mark.root
@pytest.mark.slow
def test_the_pipe_handler_takes_a_core_on_older_kernels(
    place: Sandbox, core_pattern: Path, tmp_path: Path
) -> None:
    script = tmp_path / "handler"
    options = " ".join(place.options)
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} -m sealwright_dumps gate pipe {options} "
        f'--program="$1" >>{tmp_path}/said 2>&1\n'
    )
    script.chmod(0o755)
    core_pattern.write_text(f"|{script} %E", encoding="ascii")
    crash = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)); os.abort()"
    subprocess.run([sys.executable, "-c", crash], check=False, stderr=subprocess.DEVNULL)
    wanted = (State.REDACTED, "pipe", os.path.realpath(sys.executable))
    until = time.monotonic() + 90
    while wanted not in (
        records := [(r.state, r.origin.route, r.origin.program) for r in place.gate.spool.records()]
    ):
        assert time.monotonic() < until, (records, (tmp_path / "said").read_text())
        time.sleep(0.1)
