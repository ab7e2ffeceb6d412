"""The drill holds with every control on, and fails with any one of them off."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sealwright.drills import registry, storm_0558
from sealwright.drills.model import Control, DrillResult
from sealwright.drills.runner import carry_out
from sealwright.errors import Misconfigured

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]


def drill(*disabled: str) -> DrillResult:
    return carry_out("storm-0558", storm_0558.STEPS, disabled)


def failed(result: DrillResult) -> dict[str, str]:
    return {step.finding.step: step.finding.observed for step in result.steps if not step.finding.held}


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    status = registry.run("storm-0558", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert {step["id"]: step["observed"] for step in told["steps"] if not step["held"]} == {}
    assert (status, told["held"], told["drill"]) == (0, True, "storm-0558")
    assert {step["id"].split("-")[0] for step in told["steps"]} == set("1234567")
    covered = {step["control"] for step in told["steps"] if step["control"]}
    expected = {str(control) for control in Control}
    if os.geteuid() != 0:
        expected -= {Control.PRIVATE_HALF_DESTROYED}
    assert covered == expected
    assert all(set(step) == FIELDS for step in told["steps"])


FIELDS = {"id", "attack", "control", "expected", "observed", "held", "seconds"}


@pytest.mark.parametrize("control", list(Control))
def test_the_drill_fails_without(control: Control) -> None:
    if control is Control.PRIVATE_HALF_DESTROYED and os.geteuid() != 0:
        pytest.skip("needs root: reads the signer's memory")
    result = drill(str(control))
    assert not result.held
    blamed = {step.finding.control for step in result.steps if not step.finding.held}
    assert control in blamed, failed(result)


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(Misconfigured, match="unknown_control"):
        registry.run("storm-0558", as_json=True, disabled=["everything"])


def test_the_sandbox_and_its_leaked_keys_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(prefix="t-") as folder:  # not tmp_path: socket paths are short
        monkeypatch.setattr("tempfile.tempdir", folder)
        carry_out("storm-0558", storm_0558.STEPS[:1], ())
        assert list(Path(folder).iterdir()) == []
