"""Runs a drill as its command does, and says what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sealwright.drills import registry

FIELDS = {"id", "attack", "control", "expected", "observed", "held", "seconds"}
Step = dict[str, Any]


def drill(name: str, capsys: pytest.CaptureFixture[str], *disabled: str) -> list[Step]:
    """The steps of a drill; its exit status agrees with what it says."""
    status = registry.run(name, as_json=True, disabled=disabled)
    told = json.loads(capsys.readouterr().out)
    assert told["drill"] == name
    assert status == (0 if told["held"] else 1)
    assert told["seconds"] >= max(step["seconds"] for step in told["steps"])
    steps: list[Step] = told["steps"]
    assert all(set(step) == FIELDS for step in steps)
    return steps


def failed(steps: list[Step]) -> dict[str, str]:
    """What was observed in the steps that did not hold."""
    return {step["id"]: step["observed"] for step in steps if not step["held"]}


def blamed(steps: list[Step]) -> set[str]:
    """The controls whose steps did not hold."""
    return {step["control"] for step in steps if not step["held"]}


def controls(steps: list[Step]) -> set[str]:
    """The controls that have a verdict."""
    return {step["control"] for step in steps if step["control"]}


def chapters(steps: list[Step]) -> set[str]:
    """The first part of every step's id."""
    return {step["id"].split("-")[0] for step in steps}


def assert_nothing_is_left(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drill removes its place, with everything that was leaked there."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    drill(name, capsys)
    assert list(folder.iterdir()) == []
