"""Cores of a real signing process: what no credential scanner finds in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwright_dumps.model import Confidence, Finding
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings

SIGNER = """
import sys, time
from cryptography.hazmat.primitives import hashes, serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
keys = (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate())
for _ in range(20):
    keys[0].sign(b"x", padding.PKCS1v15(), hashes.SHA256())
    keys[1].sign(b"x", ec.ECDSA(hashes.SHA256()))
    keys[2].sign(b"x")
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def signer() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", SIGNER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def sure(findings: tuple[tuple[str, Finding], ...]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for _, finding in findings:
        if finding.confidence is Confidence.CONFIRMED and not finding.algorithm.startswith("aes"):
            kind = (finding.kind, finding.algorithm)
            counts[kind] = counts.get(kind, 0) + 1
    return counts


@pytest.mark.slow
def test_a_signers_keys_are_found_in_its_core_without_knowing_them(
    signer: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    if shutil.which("gcore") is None:
        pytest.skip("gcore (Debian: gdb) is not installed")
    subprocess.run(["gcore", "-o", str(tmp_path / "core"), str(signer.pid)], check=True, capture_output=True)
    found = sure(Run(Settings(workers=1)).scan([str(tmp_path)]).findings)
    for part in ("p", "q", "d", "dp", "dq"):
        assert found[(f"rsa-{part}", "rsa-2048")] >= 1
    assert {("rsa-qinv", "rsa-2048"), ("rsa-pinv", "rsa-2048")} & found.keys()  # which prime is p is a name
    assert found[("scalar", "ec-secp256r1")] >= 1
    assert found[("seed", "ed25519")] >= 1


@pytest.mark.slow
@pytest.mark.usefixtures("core_lock")
def test_a_kernel_core_of_a_killed_signer_gives_the_same(tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
    if pattern not in ("core", "core.%p"):
        pytest.skip(f"core_pattern is {pattern!r}, so the kernel writes no core into the working directory")
    code = SIGNER.replace(
        "while True:",
        "import os, resource\nresource.setrlimit(resource.RLIMIT_CORE, (-1, -1))\nos.abort()\nwhile 0:",
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("core*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not list(tmp_path.glob("core*")):
        pytest.skip("the kernel wrote no core (hard limit or container policy)")
    found = sure(Run(Settings(workers=1)).scan([str(tmp_path)]).findings)
    assert found[("rsa-p", "rsa-2048")] >= 1
    assert found[("scalar", "ec-secp256r1")] >= 1
    assert found[("seed", "ed25519")] >= 1


@pytest.mark.slow
def test_a_plain_interpreters_core_has_no_private_key(tmp_path: Path) -> None:
    if shutil.which("gcore") is None:
        pytest.skip("gcore (Debian: gdb) is not installed")
    process = subprocess.Popen([sys.executable, "-c", "import json, time; time.sleep(60)"])
    try:
        time.sleep(0.5)
        subprocess.run(
            ["gcore", "-o", str(tmp_path / "core"), str(process.pid)], check=True, capture_output=True
        )
    finally:
        process.kill()
        process.wait()
    assert sure(Run(Settings(workers=1)).scan([str(tmp_path)]).findings) == {}
    assert list(tmp_path.iterdir())
