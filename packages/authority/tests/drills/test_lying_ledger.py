"""Who notices which lie is as the page says, and each control is what notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from authority_support.drilling import assert_nothing_is_left, blamed, controls, drill, failed
from sealwright.drills.lying_ledger.lies import LIES
from sealwright.drills.lying_ledger.observers import NOTHING, Control
from sealwright.drills.lying_ledger.scene import OBSERVERS

NAME = "lying-ledger"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = Path(__file__).resolve().parents[4] / "docs" / "ledger.md"


def test_every_observer_says_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(NAME, capsys)
    assert failed(steps) == {}
    assert len(steps) == len(OBSERVERS) * (1 + len(LIES))
    assert controls(steps) == {str(one) for one in Control}


@pytest.mark.parametrize("control", list(Control))
def test_the_drill_fails_without(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(NAME, capsys, str(control))
    assert blamed(steps) == {str(control)}, failed(steps)


def test_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_nothing_is_left(NAME, tmp_path, capsys, monkeypatch)


def test_the_page_shows_who_notices_what() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"| lie | {' | '.join(OBSERVERS)} |" in page
    for told in LIES:
        cells = (told.expected.get(observer, (None, ""))[1] for observer in OBSERVERS)
        row = " | ".join(" ".join(f"`{code}`" for code in cell.split()) or "—" for cell in cells)
        assert f"| **{told.name}**: {told.attack} | {row} |" in page, row
    assert NOTHING not in page.split("| lie |")[1].split("\n\n")[0]
