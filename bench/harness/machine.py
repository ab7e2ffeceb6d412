"""What this run ran on. It may name no host, user or path: the result is published."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.model import NotMeasured, median

SYNCS = 60
LIMIT_COLUMNS = {"ecdsap256": "nistp256", "rsa2048": "2048 bits", "ed25519": "Ed25519"}


def load_average() -> tuple[float, float, float]:
    """The load average over 1, 5 and 15 minutes."""
    return os.getloadavg()


def today() -> str:
    """Date and time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def value_after(path: str, name: str) -> str:
    """What a file of lines `name : value` says of the name first, or `unknown`."""
    for line in Path(path).read_text().splitlines():
        left, _, right = line.partition(":")
        if left.strip() == name:
            return right.strip()
    return "unknown"


def first_line(*command: str) -> str:
    """The first line that the program prints, or `absent`."""
    if not shutil.which(command[0]):
        return "absent"
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stdout + ran.stderr).splitlines()[0].strip()


def sync_milliseconds(folder: Path) -> float:
    """The median time of writing 4 KiB and syncing it in this folder."""
    times = []
    with (folder / "sync-probe").open("wb") as probe:
        for _ in range(SYNCS):
            started = time.perf_counter()
            probe.write(bytes(4096))
            probe.flush()
            os.fsync(probe.fileno())
            times.append(time.perf_counter() - started)
    return median(times) * 1e3


def facts(scratch: Path) -> Mapping[str, str]:
    """The machine and the versions that the figures depend on."""
    memory = int(value_after("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    libraries = (
        "cryptography",
        "uvicorn",
        "PyJWT",
        "joserfc",
        "Authlib",
        "python-jose",
        "jwcrypto",
        "fastapi",
    )
    return {
        "CPU": f"{os.cpu_count()} x {value_after('/proc/cpuinfo', 'model name')}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "4 KiB write and fsync": f"{sync_milliseconds(scratch):.2f} ms",
        "Python": platform.python_version(),
        "node": first_line("node", "--version"),
        "OpenSSL of the limit": first_line("openssl", "version"),
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries),
    }


def openssl_speed(algorithm: str, seconds: int) -> tuple[float, float]:
    """Signs and verifies per second on one core, by `openssl speed`; raises NotMeasured without openssl."""
    if not shutil.which("openssl"):
        raise NotMeasured("openssl is not installed")
    ran = subprocess.run(
        ["openssl", "speed", "-seconds", str(seconds), algorithm], capture_output=True, text=True, check=True
    )
    for line in ran.stdout.splitlines():
        if LIMIT_COLUMNS[algorithm] in line or (algorithm == "rsa2048" and line.startswith("rsa 2048")):
            signs, verifies = line.split()[-2:]
            return float(signs), float(verifies)
    raise NotMeasured(f"openssl speed {algorithm} printed no figures")
