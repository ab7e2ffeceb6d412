"""A disk that runs full stops issuing, and issuing goes on by itself when there is room: nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwright.drills.sandbox import Sandbox
from sealwright.errors import Unavailable
from sealwright.wiring.inspect import inspect

SIZE = 64 << 20
PATIENCE = 120.0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 MiB; its path is short enough for a Unix socket's name."""
    mount = shutil.which("mount")
    disk = Path(tempfile.mkdtemp(prefix="sealwright-disk-"))
    try:
        if mount is None or os.geteuid() != 0:
            pytest.skip("NOT TESTED: a small file system needs root")
        made = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(disk)],
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            pytest.skip(f"NOT TESTED: a small file system cannot be mounted here: {made.stderr.strip()}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
    finally:
        disk.rmdir()


def until_refused(site: Sandbox, told: list[str]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            told.append(site.token())
        except Unavailable:
            return
    raise AssertionError("a full disk goes on issuing")


def until_issued(site: Sandbox) -> str:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return site.token()
        except Unavailable:
            if time.monotonic() >= until:
                raise


@pytest.mark.slow
@pytest.mark.enable_socket
@pytest.mark.timeout(600)
def test_a_full_disk_stops_issuing_and_it_goes_on_by_itself_with_nothing_lost(small_disk: Path) -> None:
    site = Sandbox(small_disk / "state", leaky=False)
    tokens: list[str] = []
    try:
        site.start()
        tokens.append(site.token())
        [log] = site.stores.ledger.logs()
        for _ in range(2):
            with (small_disk / "ballast").open("wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(small_disk).free)
            until_refused(site, tokens)
            (small_disk / "ballast").unlink()
            tokens.append(until_issued(site))
        stored = site.stores.ledger.log(log.log_id)
        assert stored is not None
        assert stored.closed_at is None  # the same signer, the same keys: nothing had to be replaced
        assert len(site.stores.ledger.logs()) == 1
    finally:
        site.stop()
    report = inspect(site.config).fsck()
    assert report.sound, report.damages
    assert report.tokens >= len(tokens)
