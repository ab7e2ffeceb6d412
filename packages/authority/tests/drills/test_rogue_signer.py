"""The drill holds with every control on, and fails with any one of them off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealwright.drills import registry
from sealwright.drills.rogue_signer.gate import Control
from sealwright.errors import Misconfigured

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(120)]


def drill(capsys: pytest.CaptureFixture[str], *disabled: str) -> dict[str, object]:
    status = registry.run("rogue-signer", as_json=True, disabled=disabled)
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    assert status == (0 if told["held"] else 1)
    return told


def steps(told: dict[str, object]) -> list[dict[str, str]]:
    found = told["steps"]
    assert isinstance(found, list)
    return found


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    told = drill(capsys)
    assert {step["id"]: step["observed"] for step in steps(told) if not step["held"]} == {}
    assert {step["id"].split("-")[0] for step in steps(told)} == set("123456789")
    assert {step["control"] for step in steps(told) if step["control"]} == {str(one) for one in Control}


@pytest.mark.parametrize("control", list(Control))
def test_the_drill_fails_without(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    failed = [step for step in steps(drill(capsys, str(control))) if not step["held"]]
    assert {step["control"] for step in failed} == {str(control)}, failed
    assert any(step["observed"].startswith(("admitted as", "accepted")) for step in failed)


def test_a_control_of_another_drill_is_refused() -> None:
    with pytest.raises(Misconfigured, match="unknown_control"):
        registry.run("rogue-signer", as_json=True, disabled=["key-window"])


def test_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    drill(capsys)
    assert list(tmp_path.iterdir()) == []
