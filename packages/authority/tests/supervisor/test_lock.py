"""One supervisor per state directory; a crash leaves nothing that must be cleaned up by hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sealwright.errors import Misconfigured
from sealwright.supervisor.lock import StateLock

HOLD = """
import sys
from pathlib import Path
from sealwright.supervisor.lock import StateLock
with StateLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "up.pid"


def test_it_names_the_process_and_is_gone_afterwards(file: Path) -> None:
    with StateLock(file):
        assert file.read_text() == f"{os.getpid()}\n"
    assert not file.exists()


def test_it_can_be_taken_again(file: Path) -> None:
    for _ in range(3):
        with StateLock(file):
            assert file.exists()


def test_a_file_that_nobody_holds_is_no_obstacle(file: Path) -> None:
    file.write_text("1\n")
    with StateLock(file):
        assert file.read_text() == f"{os.getpid()}\n"


def test_a_second_one_is_refused_with_the_first_ones_id_until_it_is_killed(file: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Misconfigured, match=f"process {holder.pid} ") as caught, StateLock(file):
            pass
        assert caught.value.code == "already_running"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with StateLock(file):
        assert file.read_text() == f"{os.getpid()}\n"


def test_it_is_let_go_when_what_it_guards_fails(file: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), StateLock(file):
        raise RuntimeError("inside")
    assert not file.exists()
