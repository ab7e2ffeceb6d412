"""The drill holds with every control on, and fails with one of them off (the gate's own: packages/dumps)."""

from __future__ import annotations

import json
import os

import pytest

from sealwright.drills import registry
from sealwright.drills.crash_dump.ground import Control
from sealwright_dumps.drill.attacks import CONTROLS

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(240)]


def drill(capsys: pytest.CaptureFixture[str], *disabled: str) -> list[dict[str, str]]:
    status = registry.run("crash-dump", as_json=True, disabled=disabled)
    told = json.loads(capsys.readouterr().out)
    assert status == (0 if told["held"] else 1)
    steps: list[dict[str, str]] = told["steps"]
    return steps


def test_the_controls_are_those_of_the_gate_and_one_more() -> None:
    assert {str(control) for control in Control} == {*CONTROLS, "secret-memory"}


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(capsys)
    if "impossible" in steps[0]["observed"]:
        pytest.skip(f"NOT POSSIBLE HERE: {steps[0]['observed']}")
    assert {step["id"]: step["observed"] for step in steps if not step["held"]} == {}
    assert {step["control"] for step in steps} == {str(one) for one in Control}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another process's memory cannot be read")
def test_without_secret_memory_the_signers_keys_are_in_its_dump(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [step for step in drill(capsys, "secret-memory") if not step["held"]]
    assert [step["id"] for step in failed] == ["1-signer-memory"]
    assert failed[0]["observed"].endswith("copies of keys")


def test_a_control_of_the_gate_that_is_off_shows(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {step["control"] for step in drill(capsys, "second-detector") if not step["held"]} - {
        "secret-memory"
    }
    assert failed == {"second-detector"}
