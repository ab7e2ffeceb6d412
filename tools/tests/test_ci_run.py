"""`.ci/run` runs every step, tells pytest's closing lines, and fails when any step failed."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from repo import ROOT

Ci = Callable[[str], "subprocess.CompletedProcess[str]"]

STEPS = ["env-dev", "check", "check-leaves", "test", "test-slow"]
CLOSING = "===== 3 passed in 0.01s ====="


@pytest.fixture
def ci(tmp_path: Path) -> Ci:
    """Runs a copy of .ci/run with a `make` that notes its targets and fails for the one that is named."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / ".ci/apt.txt").write_text("# nothing\n\nsh: nothing-to-install\n")
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin/npm"
    npm.write_text('#!/bin/sh\n[ "$FAILING" != npm ]\n')
    npm.chmod(0o755)
    make = tmp_path / "bin/make"
    make.write_text(
        f'#!/bin/sh\nfor target; do :; done\necho "$target" >> {tmp_path}/made\n'
        f'case "$target" in test) echo "{CLOSING}" ;; esac\n[ "$target" != "$FAILING" ]\n'
    )
    make.chmod(0o755)

    def run(failing: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", str(tmp_path / ".ci/run")],
            env=os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "FAILING": failing},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def made(tmp_path: Path) -> list[str]:
    return (tmp_path / "made").read_text().split()


def test_a_run_without_failure_makes_every_target_and_ends_with_0(ci: Ci, tmp_path: Path) -> None:
    ran = ci("none")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert made(tmp_path) == STEPS
    assert f"make test: {CLOSING}" in ran.stdout.splitlines()


@pytest.mark.parametrize("failing", STEPS[1:])
def test_a_step_that_fails_is_named_fails_the_run_and_hides_no_other(
    ci: Ci, tmp_path: Path, failing: str
) -> None:
    ran = ci(failing)
    assert ran.returncode == 1
    assert made(tmp_path) == STEPS
    assert f"FAILED: make {failing}" in ran.stdout.splitlines()


def test_packages_that_cannot_be_installed_fail_the_run_and_hide_no_other(ci: Ci, tmp_path: Path) -> None:
    ran = ci("npm")
    assert ran.returncode == 1
    assert made(tmp_path) == STEPS
    assert "FAILED: npm packages" in ran.stdout.splitlines()


def test_without_an_environment_nothing_else_is_tried(ci: Ci, tmp_path: Path) -> None:
    ran = ci("env-dev")
    assert ran.returncode == 1
    assert made(tmp_path) == ["env-dev"]
