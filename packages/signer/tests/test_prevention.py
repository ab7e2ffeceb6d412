"""Nothing that the operating system can take out of a running or dying signer holds a form of a key.

A custody of the test's own tells the secrets to the test, which then tries at random moments while the signer
signs: reading all memory as root, a debugger, a forced core, and death by SEGV, ABRT and BUS.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwright_signer import clock, secretmem
from sealwright_signer.client import Connection, Process, SignerGone, command, launch

MOMENTS = 200
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
TELLING = """import sys
i, j = sys.argv.index("--listen-fd"), sys.argv.index("--")
sys.path += sys.argv[1:j]
from sealwright_signer import __main__, isolation
from sealwright_signer.custody.memory import MemoryCustody
if "readable" in sys.argv:
    isolation.BEFORE_KEYS = isolation.BEFORE_KEYS[:2]

class Telling(MemoryCustody):
    def generate(self, alg):
        handle = super().generate(alg)
        sign = self._keys[handle][0]
        key = (sign.args[0] if hasattr(sign, "args") else sign).__self__
        if alg == "EdDSA":
            told = {"seed": key.private_bytes_raw().hex()}
        elif alg == "ES256":
            told = {"d": hex(key.private_numbers().private_value)}
        else:
            n = key.private_numbers()
            told = {m: hex(getattr(n, m)) for m in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
        sys.stderr.write(alg + " " + repr(told).replace("'", '"') + "\\n")
        sys.stderr.flush()
        return handle

sys.exit(__main__.main(sys.argv[i:], custody=lambda policy: Telling()))"""
pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another process's memory cannot be read"),
    pytest.mark.skipif(
        platform.machine() not in secretmem._MOVE, reason=f"NOT BUILT FOR {platform.machine()}"
    ),
]


def numbers(told: dict[str, str]) -> list[tuple[int, int]]:
    """The secret numbers with their size in bytes, and what OpenSSL derives from them."""
    if "p" in told:
        secret = {name: int(value, 16) for name, value in told.items()}
        sizes = dict.fromkeys(("p", "q", "dmp1", "dmq1", "iqmp"), 128) | {"d": 256}
        listed = [(value, sizes[name]) for name, value in secret.items()]
        for prime in (secret["p"], secret["q"]):  # Montgomery constants give the prime away
            listed += [(pow(2, 1024, prime), 128), (pow(2, 2048, prime), 128)]
            listed += [
                (value * pow(2, 1024, prime) % prime, 128) for value in (secret["dmp1"], secret["dmq1"])
            ]
        return listed
    d = int(told["d"], 16)
    return [(d, 32), (d * 2**256 % P256, 32), (d * 2**512 % P256, 32), (P256 - d, 32)]


def forms(told: dict[str, str]) -> set[bytes]:
    """What to search for: raw both ways round, Python digits, text; halves, so that a part is enough."""
    raw: set[bytes] = set()
    if "seed" in told:
        seed = bytes.fromhex(told["seed"])
        expanded = hashlib.sha512(seed).digest()
        clamped = bytes([expanded[0] & 248, *expanded[1:31], expanded[31] & 63 | 64])
        for value in (seed, expanded[:32], expanded[32:], clamped):
            raw |= {value, value[::-1]}
    else:
        for number, size in numbers(told):
            little = number.to_bytes(size, "little")
            raw |= {little, little[::-1]}
            digits = [number >> 30 * n & (1 << 30) - 1 for n in range(size * 8 // 30)]
            raw.add(b"".join(digit.to_bytes(4, "little") for digit in digits))
    halves = {part for value in raw for part in (value[: len(value) // 2], value[len(value) // 2 :])}
    texts = {text for part in halves for text in (part.hex().encode(), part.hex().upper().encode())}
    for part, shift in itertools.product(halves, range(3)):
        whole = (len(part) - shift) // 3 * 3
        encoded = base64.b64encode(part[shift : shift + whole])
        texts |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return halves | texts


def readable(pid: int) -> Iterator[bytes]:
    """Everything that root gets to read of a process."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match and "[v" not in line:
                begin, end = (int(edge, 16) for edge in match.groups())
                memory.seek(begin)
                try:
                    yield memory.read(end - begin)
                except OSError:
                    continue
    for name in ("cmdline", "environ", "stat", "syscall", "stack", "auxv"):
        try:
            yield Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue


class Scene:
    """A signer that signs all the time, and every form of its keys."""

    def __init__(
        self, policy: dict[str, Any], folder: Path, *extra: str, through: tuple[str, ...] = ()
    ) -> None:
        folder.mkdir()
        self.log = folder / "log"
        program = [*through, *command()[:4], TELLING, *command()[5:], "--", *extra]
        with self.log.open("wb") as log:
            self.process: Process = launch(policy, folder / "run" / "signer", log=log, program=program)
        self.signed, self._ready, self._clean = 0, threading.Event(), set[bytes]()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._sign()), daemon=True)
        self._thread.start()
        try:
            assert self._ready.wait(60), self.log.read_text()
            told = [line.split(" ", 1) for line in self.log.read_text().splitlines()]
            self.forms = {alg: forms(json.loads(secret)) for alg, secret in told}
            needed = (
                [] if extra or through else [self.isolation["secret_memory"], self.isolation["no_debugger"]]
            )
            for measure in needed:
                assert measure["state"] != "off", measure
                if measure["state"] == "impossible":
                    pytest.skip(f"NOT POSSIBLE HERE: {measure['measure']}: {measure['reason']}")
        except BaseException:
            self.end()
            raise

    async def _sign(self) -> None:
        try:
            connection = await Connection.open(self.process.socket_path)
            self.isolation = {m["measure"]: m for m in (await connection.hello()).isolation}
            now, requests = int(clock.wall()), []
            for alg in ("ES256", "EdDSA", "RS256"):
                made = await connection.make_key("enterprise", alg, now, now + 3_600, now + 7_200)
                await connection.activate(made.kid)
                request = (
                    "enterprise",
                    made.kid,
                    "at+jwt",
                    "c",
                    "c",
                    ["https://mail.example"],
                    "",
                    9,
                    "00" * 32,
                    None,
                )
                requests += [request] * 8
            while True:
                _, batch = await connection.sign(requests)
                assert batch
                await connection.ack(batch.first + len(batch.leaves))
                self.signed += len(requests)
                self._ready.set()
        except SignerGone:
            self._ready.set()

    def found(self, *data: bytes) -> set[str]:
        """Algorithms of whose key any form is in the data."""
        hit = set[str]()
        for part in data:
            digest = hashlib.blake2b(part).digest()
            if digest not in self._clean:  # program text is the same every time
                here = {alg for alg, known in self.forms.items() if any(form in part for form in known)}
                hit |= here
                self._clean |= set() if here else {digest}
        return hit

    def end(self) -> int:
        status = self.process.terminate()
        self._thread.join()
        return status


def random_moments() -> Iterator[None]:
    """Wait for a random moment before each step."""
    while True:
        time.sleep(random.uniform(0, 0.02))
        yield


def test_the_search_finds_every_key_where_memory_is_ordinary(policy: dict[str, Any], tmp_path: Path) -> None:
    scene = Scene(policy, tmp_path / "ordinary", "readable")
    try:
        assert scene.found(*readable(scene.process.pid)) == {"ES256", "EdDSA", "RS256"}
    finally:
        scene.end()


def test_root_reads_no_key_from_memory_at_any_moment(policy: dict[str, Any], tmp_path: Path) -> None:
    moments = random_moments()
    scene = Scene(policy, tmp_path / "secret")
    try:
        before = scene.signed
        for _ in range(MOMENTS):
            next(moments)
            data = list(readable(scene.process.pid))
            assert sum(map(len, data)) > 1 << 20, "nothing was read at all"
            assert scene.found(*data) == set()
        assert scene.signed > before
    finally:
        scene.end()


def test_no_debugger_and_no_forced_core_gets_in(policy: dict[str, Any], tmp_path: Path) -> None:
    moments = random_moments()
    if not shutil.which("gdb"):
        pytest.skip("NO gdb: forced cores cannot be tried")
    scene, core = Scene(policy, tmp_path / "secret"), tmp_path / "core"
    forced = ["-ex", "set use-coredump-filter off", "-ex", "set dump-excluded-mappings on"]
    try:
        for _ in range(MOMENTS // 20):
            next(moments)
            pid = str(scene.process.pid)
            said = subprocess.run(
                [
                    "gdb",
                    "-batch",
                    "-nx",
                    "-p",
                    pid,
                    *forced,
                    "-ex",
                    f"gcore {core}",
                    "-ex",
                    "info all-registers",
                ],
                capture_output=True,
                check=False,
            )
            assert b"Operation not permitted" in said.stderr
            assert not core.exists()
            assert scene.found(said.stdout, said.stderr) == set()
        assert scene.process.popen.poll() is None
    finally:
        scene.end()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_signer_that_is_killed_while_it_signs_leaves_no_core(
    policy: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    moments = random_moments()
    for moment in range(MOMENTS // 20):
        scene = Scene(policy, tmp_path / str(moment))
        next(moments)
        os.kill(scene.process.pid, number)
        _, status = os.waitpid(scene.process.pid, 0)
        scene.process.popen.returncode = -number  # it was waited for here, where the flag can be seen
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == number
        assert not os.WCOREDUMP(status)
        assert "signer ends" not in scene.log.read_text()
        scene.end()


NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
READER = """import sys
with open(f"/proc/{sys.argv[1]}/maps") as maps, open(f"/proc/{sys.argv[1]}/mem", "rb", buffering=0) as memory:
    for line in maps:
        if line.split()[1].startswith("rw"):
            begin, end = (int(edge, 16) for edge in line.split()[0].split("-"))
            memory.seek(begin)
            sys.stdout.buffer.write(memory.read(end - begin))"""


def read_as_nobody(pid: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AS_NOBODY, *command()[:1], "-c", READER, str(pid)], capture_output=True, check=False, cwd="/"
    )


def test_the_same_user_reads_no_key_and_gets_no_core(policy: dict[str, Any], tmp_path: Path) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("NO setpriv: nothing can be run as another user")
    probe = [
        *AS_NOBODY,
        *command()[:4],
        "import sys; sys.path += sys.argv[1:]; import cryptography, sealwright_signer",
    ]
    if subprocess.run([*probe, *command()[5:]], capture_output=True, check=False, cwd="/").returncode:
        pytest.skip("NOBODY MAY NOT READ THIS INSTALLATION: the same user's dumps cannot be tried")
    with subprocess.Popen([*AS_NOBODY, "sleep", "600"]) as ordinary:
        until = time.monotonic() + 60
        while not (got := read_as_nobody(ordinary.pid)).stdout and time.monotonic() < until:
            time.sleep(0.1)
        ordinary.kill()
    assert got.stdout, "this reader reads nobody's memory, not even its own user's"
    moments, scene = random_moments(), Scene(policy, tmp_path / "nobody", through=AS_NOBODY)
    core = tmp_path / "open" / "core"
    core.parent.mkdir()
    core.parent.chmod(0o777)
    try:
        for _ in range(MOMENTS // 20):
            next(moments)
            tried = read_as_nobody(scene.process.pid)
            assert b"PermissionError" in tried.stderr
            assert scene.found(tried.stdout, tried.stderr) == set()
        if shutil.which("gdb"):
            asked = ["gdb", "-batch", "-nx", "-p", str(scene.process.pid), "-ex", f"gcore {core}"]
            said = subprocess.run([*AS_NOBODY, *asked], capture_output=True, check=False, cwd="/")
            assert b"ptrace: " in said.stderr
            assert list(core.parent.iterdir()) == []
            assert scene.found(said.stdout, said.stderr) == set()
        assert scene.process.popen.poll() is None
    finally:
        scene.end()


def test_who_ends_the_guardian_ends_the_signer(policy: dict[str, Any], tmp_path: Path) -> None:
    scene = Scene(policy, tmp_path / "secret")
    tracer = re.search(r"TracerPid:\t(\d+)", Path(f"/proc/{scene.process.pid}/status").read_text())
    assert tracer
    os.kill(int(tracer.group(1)), signal.SIGKILL)
    assert scene.process.wait(60) == -signal.SIGKILL
    scene.end()


def test_a_stopped_signer_goes_on_when_it_is_continued(policy: dict[str, Any], tmp_path: Path) -> None:
    scene = Scene(policy, tmp_path / "secret")
    state = Path(f"/proc/{scene.process.pid}/stat")
    try:
        os.kill(scene.process.pid, signal.SIGSTOP)
        until = time.monotonic() + 60
        while state.read_text().rpartition(")")[2].split()[0] not in "tT":
            assert time.monotonic() < until
            time.sleep(0.01)
        before = scene.signed + 3 * 24  # one batch may have been on its way
        os.kill(scene.process.pid, signal.SIGCONT)
        until = time.monotonic() + 60
        while scene.signed < before:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        assert scene.end() == -signal.SIGTERM
