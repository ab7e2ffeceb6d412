"""The drill holds with every control on, and fails with any one of them off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealwright.drills import registry
from sealwright.drills.stale_trust.yard import Control
from sealwright.errors import Misconfigured

FIELDS = {"id", "attack", "control", "expected", "observed", "held", "seconds"}


def drill(capsys: pytest.CaptureFixture[str], *disabled: str) -> list[dict[str, str]]:
    status = registry.run("stale-trust", as_json=True, disabled=disabled)
    told = json.loads(capsys.readouterr().out)
    assert told["drill"] == "stale-trust"
    assert status == (0 if told["held"] else 1)
    found: list[dict[str, str]] = told["steps"]
    return found


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(capsys)
    assert {step["id"]: step["observed"] for step in steps if not step["held"]} == {}
    assert {step["id"].split("-")[0] for step in steps} == set("123456")
    assert {step["control"] for step in steps} == {str(one) for one in Control}
    assert all(set(step) == FIELDS for step in steps)


@pytest.mark.parametrize("control", list(Control))
def test_the_drill_fails_without(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {step["control"]: step["observed"] for step in drill(capsys, str(control)) if not step["held"]}
    assert set(failed) == {str(control)}, failed


def test_a_control_of_another_drill_is_refused() -> None:
    with pytest.raises(Misconfigured, match="unknown_control"):
        registry.run("stale-trust", as_json=True, disabled=["key-window"])


def test_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    drill(capsys)
    assert list(tmp_path.iterdir()) == []
