from __future__ import annotations

from pathlib import Path

import pytest

from sealwright_dumps.drill import attacks


def test_every_control_holds(tmp_path: Path) -> None:
    verdicts = attacks.run(tmp_path)
    assert [(v.attack, v.detail) for v in verdicts if not v.held] == []
    assert {v.control for v in verdicts} <= set(attacks.CONTROLS)


@pytest.mark.slow
@pytest.mark.parametrize("control", attacks.CONTROLS)
def test_a_disabled_control_shows(tmp_path: Path, control: str) -> None:
    verdicts = attacks.run(tmp_path, frozenset({control}))
    assert any(not v.held for v in verdicts), control
