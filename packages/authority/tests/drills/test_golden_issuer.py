"""The drill says what is caught of an attacker inside the front end, and as clearly what is not."""

from __future__ import annotations

import pytest

from authority_support.drilling import blamed, controls, drill, failed
from sealwright.drills.golden_issuer.attack import Control

NAME = "golden-issuer"
pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]


pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")


def test_it_holds_and_names_what_is_not_caught(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(NAME, capsys)
    assert failed(steps) == {}
    assert controls(steps) == {str(one) for one in Control}
    [ordinary] = [step for step in steps if step["id"] == "5-ordinary"]
    assert "NOT CAUGHT" in ordinary["attack"]
    assert ordinary["control"] is None


@pytest.mark.parametrize("control", list(Control))
def test_it_fails_without(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    """With one control off its own steps fail, and the drill goes on to its end all the same."""
    steps = drill(NAME, capsys, str(control))
    assert blamed(steps) == {str(control)}, failed(steps)
    assert steps[-1]["id"] == "5-ordinary-trace"
