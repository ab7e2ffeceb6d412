"""What `hello.isolation` says is true: a program of ours tries each thing from inside."""

import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer import clock, isolation
from sealwright_signer.client import Connection, Process, SignerGone, command, launch

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        platform.machine() not in isolation._ARCH, reason=f"NO SYSTEM CALL TABLE for {platform.machine()}"
    ),
]
DENIED = ["open", "create", "list", "unix_socket", "tcp_socket", "pair", "fork", "kill", "pipe", "memfd"]
DENIED += ["dumpable_again", "executable_page", "dump_again", "unlock"]
Start = Callable[..., Process]
LAUNCHER = """
import json, sys, time
from pathlib import Path
sys.path = sys.argv[3:]
from sealwright_signer.client import launch
print(launch(json.loads(sys.argv[1]), Path(sys.argv[2]), log=2).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def start(policy: dict[str, Any], tmp_path: Path) -> Iterator[Start]:
    """Starts a signer on the probe's custody, its standard error in tmp_path / "log"."""
    running: list[Process] = []

    def launched(*attempts: str) -> Process:
        code = (Path(__file__).parent / "probe.py").read_text()
        with (tmp_path / "log").open("wb") as log:
            program = [*command()[:4], code, *command()[5:], "--", *attempts]
            running.append(launch(policy, tmp_path / "run" / "signer", log=log, program=program))
        return running[-1]

    yield launched
    for process in running:
        process.terminate()


async def make_key(process: Process) -> None:
    connection = await Connection.open(process.socket_path)
    await connection.hello()
    now = int(clock.wall())
    await connection.make_key("enterprise", "ES256", now, now + 3_600, now + 7_200)
    await connection.close()


async def isolation_of(process: Process) -> dict[str, tuple[str, str]]:
    connection = await Connection.open(process.socket_path)
    hello = await connection.hello("observer")
    await connection.close()
    return {m["measure"]: (m["state"], m["reason"]) for m in hello.isolation}


def test_what_is_not_allowed_fails_inside(start: Start, tmp_path: Path) -> None:
    asyncio.run(make_key(start(*DENIED)))
    outcomes = dict(line.split(" ", 1) for line in (tmp_path / "log").read_text().splitlines())
    assert outcomes == dict.fromkeys(DENIED, "failed 1") | {
        name: outcome for name, outcome in outcomes.items() if outcome == "failed 13"
    }
    assert outcomes.keys() == set(DENIED)
    assert not Path("/tmp/sealwright-probe").exists()  # noqa: S108 - must not exist


@pytest.mark.parametrize("attempt", ["exec", "ptrace", "read_other"])
def test_what_no_honest_run_tries_kills(start: Start, tmp_path: Path, attempt: str) -> None:
    process = start(attempt)
    with pytest.raises(SignerGone):
        asyncio.run(make_key(process))
    assert process.wait(10) == -signal.SIGSYS
    assert (tmp_path / "log").read_text() == ""


def test_every_measure_is_on_or_says_why_not(start: Start) -> None:
    measures = asyncio.run(isolation_of(start()))
    assert list(measures) == [
        take.__name__.strip("_") for take in (*isolation.BEFORE_KEYS, *isolation.WITH_KEYS)
    ]
    assert all(reason for _, reason in measures.values())
    assert {state for state, _ in measures.values()} <= {"on", "impossible"}
    sure = {"own_session", "dies_with_parent", "isolated_interpreter", "no_core", "empty_core"}
    for name in sure | {"no_new_privileges", "not_dumpable", "seccomp"}:
        assert measures[name][0] == "on", measures[name]


def test_the_kernel_agrees(start: Start) -> None:
    process = start()
    asyncio.run(isolation_of(process))
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
    )
    assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
    assert os.getsid(process.pid) == process.pid
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    assert next(line for line in limits if "core file" in line).split()[4:6] in (["1", "1"], ["0", "0"])


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another process's descriptors cannot be read")
def test_it_has_no_environment_and_no_descriptors_but_its_own(start: Start, tmp_path: Path) -> None:
    process = start()
    asyncio.run(isolation_of(process))
    assert Path(f"/proc/{process.pid}/environ").read_bytes() == b""
    assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
    targets = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    files = [target for target in targets if not target.startswith(("socket:", "anon_inode:"))]
    assert sorted(set(files)) == ["/dev/null", str(tmp_path / "log")]
    assert targets.count("anon_inode:[eventpoll]") == 1


def test_it_ends_with_the_process_that_launched_it(policy: dict[str, Any], tmp_path: Path) -> None:
    arguments = [json.dumps(policy), str(tmp_path / "run" / "signer"), *sys.path]
    parent = subprocess.Popen([sys.executable, "-c", LAUNCHER, *arguments], stdout=subprocess.PIPE)
    assert parent.stdout
    with parent.stdout:
        pid = int(parent.stdout.readline())
    while not asyncio.run(answers(tmp_path / "run" / "signer")):
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    for _ in range(500):
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return
        time.sleep(0.01)
    pytest.fail("the signer outlived its parent")


async def answers(path: Path) -> bool:
    try:
        connection = await Connection.open(path)
        await connection.hello("observer")
        await connection.close()
    except SignerGone:
        return False
    return True
