"""What each usual mitigation leaves in each kind of dump of a signing process: prints a Markdown table.

    python bench/dumps_matrix.py [--write docs/crash-dumps.md]

Needs root, gdb and a kernel with the coredump socket (6.17). It changes the machine's core_pattern for a
few seconds at a time, under a lock, and puts it back. A process with an RSA, an EC and an Ed25519 key
signs, then is dumped by each route; the scanner, told nothing, counts the confirmed copies. It may never
count what it did not find by itself.
"""

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sealwright_dumps.corpus.containers import Region, elf_core
from sealwright_dumps.gate import coredump
from sealwright_dumps.model import Confidence
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings

BEGIN, END = "<!-- matrix: made by bench/dumps_matrix.py -->", "<!-- end of matrix -->"
PATTERN = Path("/proc/sys/kernel/core_pattern")
VICTIM = """
import ctypes, os, resource, sys, time
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
keys = (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate())
for _ in range(20):
    keys[0].sign(b"x", padding.PKCS1v15(), hashes.SHA256())
    keys[1].sign(b"x", ec.ECDSA(hashes.SHA256()))
    keys[2].sign(b"x")
libc = ctypes.CDLL(None, use_errno=True)
wanted = sys.argv[1].split("+")
if "filter" in wanted:
    open("/proc/self/coredump_filter", "w").write("0")
if "limit0" in wanted:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
if "limit1" in wanted:
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
if "dontdump" in wanted:
    for line in open("/proc/self/maps"):
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        libc.madvise(ctypes.c_void_p(low), ctypes.c_size_t(high - low), 16)
if "undumpable" in wanted:
    libc.prctl(4, 0, 0, 0, 0)
print("ready", flush=True)
time.sleep(600)
"""
MITIGATIONS = {
    "none": "none",
    "`coredump_filter=0`": "filter",
    "`RLIMIT_CORE=0`": "limit0",
    "`RLIMIT_CORE=1`": "limit1",
    "`MADV_DONTDUMP` on all mappings": "dontdump",
    "`PR_SET_DUMPABLE=0`": "undumpable",
    "all of them": "filter+limit1+dontdump+undumpable",
}


@dataclass(frozen=True)
class Route:
    """One way to a dump: makes it in a folder from a process id."""

    name: str
    dump: Callable[[int, Path], None]


def crash(pid: int) -> None:
    """End a process as a bug would."""
    os.kill(pid, signal.SIGABRT)


def to_file(pid: int, folder: Path) -> None:
    """The kernel writes a file."""
    with pattern(f"{folder}/core"):
        crash(pid)
        wait_gone(pid)


def to_pipe(pid: int, folder: Path) -> None:
    """The kernel writes into a program."""
    handler = folder.parent / f"handler-{os.getpid()}"
    handler.write_text(f"#!/bin/sh\nexec cat > {folder}/core\n", encoding="utf-8")
    handler.chmod(0o755)
    with pattern(f"|{handler}"):
        crash(pid)
        wait_gone(pid)
        threading.Event().wait(1.0)  # the handler may outlive the process for a moment


def to_socket(pid: int, folder: Path) -> None:
    """The kernel asks, then writes into a socket."""
    path = folder.parent / "core.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(1)
        server.settimeout(5)
        with pattern(f"@@{path}"):
            crash(pid)
            with contextlib.suppress(TimeoutError):
                connection, _ = server.accept()
                receive(connection, folder / "core")
        wait_gone(pid)


def receive(connection: socket.socket, target: Path) -> None:
    """Answer the kernel's request and keep what it sends."""
    with connection, target.open("wb") as file:
        connection.settimeout(20)
        coredump.read_request(connection)
        coredump.answer(connection, coredump.KERNEL | coredump.WAIT)
        connection.recv(4)
        while piece := connection.recv(1 << 20):
            file.write(piece)


def by_debugger(pid: int, folder: Path) -> None:
    """A debugger run by root."""
    subprocess.run(["gcore", "-o", str(folder / "core"), str(pid)], check=False, capture_output=True)


def by_debugger_forced(pid: int, folder: Path) -> None:
    """The same, told to ignore filters."""
    subprocess.run(["gcore", "-a", "-o", str(folder / "core"), str(pid)], check=False, capture_output=True)


def by_memory_file(pid: int, folder: Path) -> None:
    """Root reads /proc/PID/mem, and keeps where everything was."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    regions: list[Region] = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" in line.split()[1]:
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(low)
                    regions.append(Region(low, memory.read(high - low)))
    (folder / "core").write_bytes(elf_core(regions))


ROUTES = (
    Route("abort → file", to_file),
    Route("abort → pipe", to_pipe),
    Route("abort → socket", to_socket),
    Route("gcore, root", by_debugger),
    Route("gcore -a, root", by_debugger_forced),
    Route("/proc/PID/mem, root", by_memory_file),
)


@contextlib.contextmanager
def pattern(text: str) -> Iterator[None]:
    """Another core_pattern for as long as it takes."""
    with Path(tempfile.gettempdir(), "core_pattern.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = PATTERN.read_text(encoding="ascii")
        PATTERN.write_text(text, encoding="ascii")
        try:
            yield
        finally:
            PATTERN.write_text(before, encoding="ascii")


def wait_gone(pid: int) -> None:
    """Until the process has ended (its parent, this program, reaps it)."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def copies(folder: Path) -> str:
    """The confirmed copies of the three keys in a dump, or that there is none."""
    files = [path for path in folder.iterdir() if path.is_file() and path.stat().st_size]
    if not files:
        return "no dump"
    report = Run(Settings(workers=1, credentials=False)).scan([str(path) for path in files])
    found = [
        f
        for _, f in report.findings
        if f.confidence is Confidence.CONFIRMED and f.detector in ("bignum", "echo")
    ]
    return f"**{len(found)}**" if found else "0"


def cell(mitigation: str, route: Route) -> str:
    """One victim, one dump, one count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "dump")
        folder.mkdir()
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, mitigation], stdout=subprocess.PIPE)
        try:
            if victim.stdout is None or victim.stdout.readline() != b"ready\n":
                return "victim failed"
            route.dump(victim.pid, folder)
            return copies(folder)
        finally:
            victim.kill()
            victim.wait()


def main() -> int:
    """Make the table; print it, or put it into a document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    lines = [
        "| mitigation | " + " | ".join(route.name for route in ROUTES) + " |",
        "|---" * (len(ROUTES) + 1) + "|",
    ]
    for name, mitigation in MITIGATIONS.items():
        lines.append(f"| {name} | " + " | ".join(cell(mitigation, route) for route in ROUTES) + " |")
        print(lines[-1], file=sys.stderr)
    table = "\n".join(lines)
    if options.write:
        before, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        options.write.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")
    else:
        print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
