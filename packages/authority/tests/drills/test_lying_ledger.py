"""Who notices which lie is as the page says, and each control is what notices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealwright.drills import registry
from sealwright.drills.lying_ledger.lies import LIES
from sealwright.drills.lying_ledger.observers import NOTHING, Control
from sealwright.drills.lying_ledger.scene import OBSERVERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = Path(__file__).resolve().parents[4] / "docs" / "ledger.md"


def drill(capsys: pytest.CaptureFixture[str], *disabled: str) -> list[dict[str, str]]:
    status = registry.run("lying-ledger", as_json=True, disabled=disabled)
    told = json.loads(capsys.readouterr().out)
    assert status == (0 if told["held"] else 1)
    found: list[dict[str, str]] = told["steps"]
    return found


def test_every_observer_says_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    steps = drill(capsys)
    assert {step["id"]: step["observed"] for step in steps if not step["held"]} == {}
    assert len(steps) == len(OBSERVERS) * (1 + len(LIES))
    assert {step["control"] for step in steps if step["control"]} == {str(one) for one in Control}


@pytest.mark.parametrize("control", list(Control))
def test_the_drill_fails_without(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    failed = [step for step in drill(capsys, str(control)) if not step["held"]]
    assert {step["control"] for step in failed} == {str(control)}, failed


def test_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    drill(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_who_notices_what() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"| lie | {' | '.join(OBSERVERS)} |" in page
    for told in LIES:
        cells = (told.expected.get(observer, (None, ""))[1] for observer in OBSERVERS)
        row = " | ".join(" ".join(f"`{code}`" for code in cell.split()) or "—" for cell in cells)
        assert f"| **{told.name}**: {told.attack} | {row} |" in page, row
    assert NOTHING not in page.split("| lie |")[1].split("\n\n")[0]
