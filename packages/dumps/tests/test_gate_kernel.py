from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealwright_dumps.drill import sandbox
from sealwright_dumps.drill.sandbox import Sandbox
from sealwright_dumps.gate import policy
from sealwright_dumps.gate.coredump import Listener
from sealwright_dumps.gate.model import State


@pytest.fixture
def place() -> Iterator[Sandbox]:
    root = Path(tempfile.mkdtemp())
    yield sandbox.make(root)
    shutil.rmtree(root)


CRASH = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"


@pytest.fixture
def core_pattern() -> Iterator[Path]:
    """The machine's core_pattern, put back afterwards. It is global, so tests that change it take a lock."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    if os.geteuid() != 0 or not os.access(pattern, os.W_OK):
        pytest.skip("needs root to change core_pattern")
    with Path(tempfile.gettempdir(), "core_pattern.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = pattern.read_text(encoding="ascii")
        yield pattern
        pattern.write_text(before, encoding="ascii")


@pytest.mark.root
@pytest.mark.slow
def test_the_kernel_asks_the_gate_before_it_writes_a_core(place: Sandbox, core_pattern: Path) -> None:
    socket_path = place.gate.spool.root / "core.sock"
    listener = Listener(place.gate, socket_path)
    try:
        core_pattern.write_text(f"@@{socket_path}", encoding="ascii")
    except OSError:
        pytest.skip("this kernel has no coredump socket protocol (it came with 6.17)")
    threading.Thread(target=listener.serve_one, daemon=True).start()
    subprocess.run([sys.executable, "-c", CRASH], check=False, stderr=subprocess.DEVNULL)
    listener.settle()
    records = list(place.gate.spool.records())
    assert [(r.state, r.origin.route, r.reason) for r in records] == [(State.REDACTED, "socket", "")], (
        listener.refusals
    )
    assert records[0].origin.program == os.path.realpath(sys.executable)
    assert records[0].size > 1 << 20
    listener.close()


@pytest.mark.root
@pytest.mark.slow
def test_the_gate_refuses_before_a_byte_is_written(place: Sandbox, core_pattern: Path) -> None:
    never = policy.Class("never", ("*",), accept=False, approvals=1)
    gate = replace(place.gate, policy=replace(place.gate.policy, classes=(never,)))
    socket_path = gate.spool.root / "core.sock"
    listener = Listener(gate, socket_path)
    try:
        core_pattern.write_text(f"@@{socket_path}", encoding="ascii")
    except OSError:
        pytest.skip("this kernel has no coredump socket protocol (it came with 6.17)")
    threading.Thread(target=listener.serve_one, daemon=True).start()
    subprocess.run([sys.executable, "-c", CRASH], check=False, stderr=subprocess.DEVNULL)
    listener.settle()
    assert list(gate.spool.records()) == []
    assert place.steps.steps == ["rejected"]
    assert "not-accepted" in listener.refusals[0]
    listener.close()


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
    unlimited = CRASH.replace("(0, 0)", "(-1, -1)")
    subprocess.run([sys.executable, "-c", unlimited], check=False, stderr=subprocess.DEVNULL)
    for _ in range(300):
        records = list(place.gate.spool.records())
        if records and records[0].state is not State.QUARANTINED:
            break
        threading.Event().wait(0.2)
    assert [(r.state, r.origin.route) for r in records] == [(State.REDACTED, "pipe")], (
        tmp_path / "said"
    ).read_text()
