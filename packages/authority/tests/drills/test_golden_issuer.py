"""The drill says what is caught of an attacker inside the front end, and as clearly what is not."""

from __future__ import annotations

import pytest

from sealwright.drills import golden_issuer
from sealwright.drills.golden_issuer.attack import Control
from sealwright.drills.model import DrillResult
from sealwright.drills.runner import carry_out

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]


def drill(*disabled: str) -> DrillResult:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    return carry_out("golden-issuer", golden_issuer.DRILL.steps, disabled)


def test_it_holds_and_names_what_is_not_caught() -> None:
    result = drill()
    assert {step.finding.step: step.finding.observed for step in result.steps if not step.finding.held} == {}
    assert {step.finding.control for step in result.steps} == {None, *Control}
    [ordinary] = [step.finding for step in result.steps if step.finding.step == "5-ordinary"]
    assert "NOT CAUGHT" in ordinary.attack
    assert ordinary.control is None


@pytest.mark.parametrize("control", list(Control))
def test_it_fails_without(control: Control) -> None:
    """With one control off its own steps fail, and the drill goes on to its end all the same."""
    result = drill(str(control))
    failed = [step.finding for step in result.steps if not step.finding.held]
    assert {finding.control for finding in failed} == {control}, failed
    assert result.steps[-1].finding.step == "5-ordinary-trace"
