"""The drill holds with every control on, and fails with any one of them off."""

from __future__ import annotations

from pathlib import Path

import pytest

from authority_support.drilling import assert_nothing_is_left, blamed, chapters, controls, drill, failed
from sealwright.drills import registry
from sealwright.drills.rogue_signer.gate import Control
from sealwright.errors import Misconfigured

NAME = "rogue-signer"
pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(120)]


def test_every_control_holds(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(NAME, capsys)
    assert failed(steps) == {}
    assert chapters(steps) == set("123456789")
    assert controls(steps) == {str(one) for one in Control}


@pytest.mark.parametrize("control", list(Control))
def test_the_drill_fails_without(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(NAME, capsys, str(control))
    assert blamed(steps) == {str(control)}, failed(steps)
    assert any(observed.startswith(("admitted as", "accepted")) for observed in failed(steps).values())


def test_a_control_of_another_drill_is_refused() -> None:
    with pytest.raises(Misconfigured, match="unknown_control"):
        registry.run(NAME, as_json=True, disabled=["key-window"])


def test_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_nothing_is_left(NAME, tmp_path, capsys, monkeypatch)
