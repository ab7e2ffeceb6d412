"""The drill holds with every control on, and fails with any one of them off."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from authority_support import drilling
from sealwright.drills import registry, storm_0558
from sealwright.drills.model import Control, DrillResult
from sealwright.drills.runner import carry_out
from sealwright.errors import Misconfigured

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]


ANSWER = {
    Control.BLAST_RADIUS,
    Control.RESPONSE_RULE,
    Control.SHARED_SIGNALS,
    Control.TENANT_SEPARATION,
    Control.NOTICE_APPROVAL,
    Control.REPLACEMENT_KEY,
}
"""Controls of the answer: none of them rests on another, so one drill without all of them shows each."""
NOT_OF_THE_ANSWER = [
    step
    for step in storm_0558.STEPS
    if step.__module__.rpartition(".")[2] not in {"scope_damage", "notify_tenants", "recover"}
]


def drill(*disabled: str) -> DrillResult:
    return carry_out("storm-0558", NOT_OF_THE_ANSWER, disabled)


def failed(result: DrillResult) -> dict[str, str]:
    return {step.finding.step: step.finding.observed for step in result.steps if not step.finding.held}


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drilling.drill("storm-0558", capsys)
    assert drilling.failed(steps) == {}
    assert drilling.chapters(steps) == {str(number) for number in range(1, 11)}
    words = ("theft", "forge", "detect", "scope", "revoke", "notify", "recover")
    assert [word for word in words if any(word in step["id"] for step in steps)] == list(words)
    expected = {str(control) for control in Control}
    if os.geteuid() != 0:
        expected -= {Control.PRIVATE_HALF_DESTROYED}
    assert drilling.controls(steps) == expected


def test_the_answer_fails_where_its_controls_are_off() -> None:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    steps = [step for step in storm_0558.STEPS if step.__module__.rpartition(".")[2] in NEEDED]
    result = carry_out("storm-0558", steps, [str(control) for control in ANSWER])
    blamed = {step.finding.control for step in result.steps if not step.finding.held}
    assert blamed == ANSWER, failed(result)


NEEDED = {
    "steal_dead_key",
    "forge_with_active_key",
    "scope_damage",
    "revoke_key",
    "notify_tenants",
    "recover",
}


@pytest.mark.parametrize("control", sorted(set(Control) - ANSWER))
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
