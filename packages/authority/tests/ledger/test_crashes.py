"""Kills, failing disks and power cuts, five hundred times: nothing that was released is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authority_support import crashes

SHIM = Path(__file__).parents[1] / "faults" / "faults.c"
RUNS = 500
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
Ordeal = Callable[..., dict[str, Any]]


@pytest.fixture
def ordeal(tmp_path: Path) -> Iterator[Ordeal]:
    """Runs the program of crashes.py under the shim."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("NOT TESTED: faults need Linux and a C compiler (Debian: gcc, libc6-dev)")
    shim = tmp_path / "faults.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(SHIM), "-ldl"], check=True, timeout=300
    )
    # What a sync does is up to the shim: memory instead of a disk only makes it quick.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
    directory = Path(tempfile.mkdtemp(prefix="sealwright-crashes-", dir=memory if memory.is_dir() else None))
    support = Path(crashes.__file__).parents[1]

    def run(runs: int, seed: int, *flaw: str) -> dict[str, Any]:
        state = directory / "-".join((str(seed), *flaw))
        state.mkdir(mode=0o700)
        settings = [f"LD_PRELOAD={shim}", f"PYTHONPATH={support}"]
        program = [sys.executable, crashes.__file__, str(state), str(runs), str(seed), *flaw]
        done = subprocess.run(
            ["env", *settings, *program], check=True, capture_output=True, text=True, timeout=1_000
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told | {"said": done.stderr}

    try:
        yield run
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_nothing_released_is_missing_after_five_hundred_kills_and_failing_syncs(ordeal: Ordeal) -> None:
    told = ordeal(RUNS, 1)
    faults = {name: told.get(name, 0) for name in ("gap", "broken", "went on", "unsound")}
    assert faults == dict.fromkeys(faults, 0), told
    assert told["checks"] == RUNS // 50
    # It was an ordeal: every kind of fault struck, and the log grew through it.
    assert told["killed"] > RUNS // 4
    assert told["failed"] > RUNS // 20
    assert told["power cut"] > 0
    assert told["reappeared"] > 0
    assert told["released"] > RUNS


@pytest.mark.parametrize("flaw", [crashes.EARLY, crashes.NOSYNC])
def test_an_authority_that_releases_too_early_is_found_out(ordeal: Ordeal, flaw: str) -> None:
    told = ordeal(600, 2, flaw)
    assert told.get("gap", 0) + told.get("unsound", 0) > 0, told
