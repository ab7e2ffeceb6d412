"""Kill -9 at every step of a rotation: after a restart everything that is read again holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import authority_support.killed_rotation as program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = {
    "before make_key", "before commit", "after commit", "after make_key", "before add", "after add",
    "before activate", "after activate", "before settle", "after settle", "before statement",
    "after statement", "before manifest", "after manifest", "before add_manifest", "after add_manifest",
}  # fmt: skip


def rounds(victim: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    ran = subprocess.run(
        [sys.executable, str(Path(str(program.__file__))), victim],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return lines[:-1], lines[-1]


@pytest.mark.parametrize("victim", ["authority", "signer"])
def test_a_rotation_that_is_killed_at_any_step_is_mended_by_a_restart(victim: str) -> None:
    found, summary = rounds(victim)
    assert {one["name"] for one in found} >= STEPS
    assert len(found) == summary["steps" if victim == "authority" else "distinct"]
    broken = {
        f"{one['step']} {one['name']}": one["found"]["error"] for one in found if "error" in one["found"]
    }
    assert broken == {}
    if victim == "authority":
        died = [one for one in found if one["struck"].get("killed") == 9]
        assert len(died) > len(found) // 2  # a mended rotation may have fewer steps than the first
