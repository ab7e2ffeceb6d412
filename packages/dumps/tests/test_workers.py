"""No process of ours outlives the one that a person or a service started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwright_dumps.redact import verifier

SECONDS = 60

HOLDING = """
import os, signal, sys, time
from sealwright_dumps import run
from sealwright_dumps.cli.main import main

def hold(_paths):
    with open(sys.argv[2], "w") as told:
        told.write(f"{os.getpid()}\\n")
    time.sleep(600)

def die(_paths):
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    run._scan_batch = die if sys.argv[1] == "die" else hold
    sys.exit(main(["scan", "--quiet", "--workers=2", sys.argv[3]]))
"""


@contextlib.contextmanager
def program(folder: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """A scan whose workers hold their work for ever, or die of it."""
    (folder / "tree").mkdir()
    (folder / "tree" / "file").write_text("nothing here")
    (folder / "program.py").write_text(HOLDING)
    held = folder / "held"
    os.mkfifo(held)
    process = subprocess.Popen(
        [sys.executable, str(folder / "program.py"), what, str(held), str(folder / "tree")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def held_by(folder: Path) -> int:
    """A descriptor that becomes readable when the worker, which has work now, is gone."""
    return os.pidfd_open(int((folder / "held").read_text()))


def require_gone(worker: int) -> None:
    ended, _, _ = select.select([worker], [], [], SECONDS)
    os.close(worker)
    assert ended


def test_workers_go_when_their_parent_is_killed(tmp_path: Path) -> None:
    with program(tmp_path, "hold") as process:
        worker = held_by(tmp_path)
        process.kill()
        require_gone(worker)


def test_a_scan_that_is_ended_goes_in_order(tmp_path: Path) -> None:
    with program(tmp_path, "hold") as process:
        worker = held_by(tmp_path)
        process.terminate()
        out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, out, err) == (5, "", "sealwright-dumps: interrupted\n")
        require_gone(worker)


def test_what_a_killed_worker_had_in_hand_is_told(tmp_path: Path) -> None:
    with program(tmp_path, "die") as process:
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 3
        assert "worker-lost" in out
        assert "Traceback" not in err


ASKING = """
import os, sys
from sealwright_dumps.redact.service import ask
descriptor = os.memfd_create("endless")
os.ftruncate(descriptor, 1 << 44)
ask(descriptor, ())
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_second_detector_goes_when_its_parent_is_killed() -> None:
    if not Path("/proc/self/task", str(os.getpid()), "children").exists():
        pytest.skip("THIS KERNEL LISTS NO CHILDREN (CONFIG_PROC_CHILDREN)")
    with subprocess.Popen([sys.executable, "-c", ASKING]) as process:
        try:
            while not (children := children_of(process.pid)):
                assert process.poll() is None
                select.select([], [], [], 0.01)
            worker = os.pidfd_open(children[0])
        finally:
            process.send_signal(signal.SIGKILL)
        require_gone(worker)


def test_a_second_detector_that_nobody_asked_says_nothing() -> None:
    request = f'{{"descriptor": 0, "fingerprints": [], "parent": {os.getppid()}}}'
    command = [sys.executable, "-I", "-m", verifier.__name__]
    done = subprocess.run(command, input=request.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
