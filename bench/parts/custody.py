"""The same signer with its keys in memory, in a SoftHSM2 token, and on another host: all in each round.

SoftHSM2 is software: the figures show what a keeper and PKCS#11 cost, not what a device can do.
"""

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import procfs
from harness.model import NotMeasured, Outcome, Part, Setting, Table, median
from harness.rounds import interleave, paired_ratio
from harness.signing import Session, signer
from sealwright_signer.client import reach_command
from sealwright_signer.remote.channel import key_text, open_key

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so")
ALGORITHMS = ("ES256", "EdDSA", "RS256")
SIZES = {"ES256": (8, 256), "EdDSA": (256,), "RS256": (256,)}
MEMORY, TOKEN, ELSEWHERE = "memory", "SoftHSM2 token", "memory, over TLS on loopback"
PIN, LABEL = "1234567890", "bench"
START = 60.0  # seconds that a far end may take to serve


@dataclass(frozen=True, slots=True)
class Found:
    """One stretch: tokens per second by the clock, and per second of CPU of all processes of this side."""

    wall: float
    core: float


def token(folder: Path) -> dict[str, Any]:
    """A new SoftHSM2 token, as a policy names it."""
    module = next((path for path in MODULES if Path(path).is_file()), None)
    if module is None or not shutil.which("softhsm2-util"):
        raise NotMeasured("SoftHSM2 is not installed (apt-get install softhsm2)")
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin = folder / "pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN)
    variables = {"SOFTHSM2_CONF": str(settings)}
    words = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", PIN, "--pin", PIN]
    subprocess.run(words, env={"PATH": os.defpath} | variables, check=True, capture_output=True)
    members = {"kind": "pkcs11", "module": module, "token": LABEL, "pin_file": str(pin), "objects": "session"}
    limits = {"sessions": os.cpu_count() or 1, "patience": 60, "network": False}
    return {**members, **limits, "label": "bench", "reach": [str(tokens)], "environment": variables}


@contextlib.contextmanager
def elsewhere(folder: Path) -> Iterator[tuple[list[str], int]]:
    """The command of a near end to a far end on loopback, and the far end's process."""
    near, far = folder / "near" / "channel.pem", folder / "far"
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    words = [sys.executable, "-I", "-m", "sealwright_signer.remote", "serve", "--state", str(far)]
    words += ["--listen", f"tls://127.0.0.1:{port}", "--allow", key_text(open_key(near).public_key())]
    process = subprocess.Popen(words, env={"PATH": os.defpath}, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not select.select([process.stdout], [], [], START)[0]:
            raise NotMeasured("the far end did not start")
        address, _, key = process.stdout.readline().decode().removeprefix("serving ").strip().partition("#")
        yield reach_command(address, key, near), process.pid
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


def stretch(session: Session, also: int | None, algorithm: str, size: int, seconds: float) -> Found:
    """One stretch, with the CPU of every process on the signer's side."""
    pids = procfs.family(session.process.pid) + (procfs.family(also) if also else [])
    before, started = sum(procfs.cpu_seconds(pids).values()), time.perf_counter()
    done = session.stretch(algorithm, size, seconds)
    took = time.perf_counter() - started
    return Found(done.tokens / took, done.tokens / (sum(procfs.cpu_seconds(pids).values()) - before))


def run(setting: Setting) -> Outcome:
    """Every case in every round, so that the figures of one row come from the same minute."""
    rounds, seconds = (1, 0.3) if setting.quick else (3, 1.0)
    folders = {name: setting.scratch / name for name in ("m", "t", "e")}
    for folder in folders.values():
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        program, far = stack.enter_context(elsewhere(folders["e"]))
        algorithms = list(ALGORITHMS)
        sessions: dict[str, tuple[Session, int | None]] = {
            MEMORY: (stack.enter_context(signer(folders["m"], algorithms)), None)
        }
        kept = token(folders["t"])
        sessions[TOKEN] = stack.enter_context(signer(folders["t"], algorithms, custody=kept)), None
        sessions[ELSEWHERE] = stack.enter_context(signer(folders["e"], algorithms, program=program)), far
        cases = {
            f"{algorithm}|{size}|{name}": partial(stretch, *sessions[name], algorithm, size, seconds)
            for algorithm, sizes in SIZES.items()
            for size in sizes
            for name in sessions
        }
        found = interleave(cases, rounds, setting.say)
    rows = []
    for case, each in found.items():
        algorithm, size, name = case.split("|")
        beside = [one.wall for one in found[f"{algorithm}|{size}|{MEMORY}"]]
        walls = [one.wall for one in each]
        cores = median([one.core for one in each])
        rows.append((algorithm, int(size), name, median(walls), cores, paired_ratio(walls, beside)))
    columns = ("algorithm", "batch", "keys in", "tokens/s", "tokens per CPU second", "of memory's tokens/s")
    note = (
        f"The token: SoftHSM2, session objects, {kept['sessions']} sessions. CPU is that of signer, keeper "
        "and both ends of the channel together; what feeds them is another process."
    )
    return Outcome((Table("Signed and ledgered tokens by custody", columns, tuple(rows)),), notes=(note,))


PART = Part("custody", "Custody: memory, a PKCS#11 token, another host", run)
