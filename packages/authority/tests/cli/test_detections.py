"""The catalogue is at hand where an alarm is read: on the terminal, as JSON, as Sigma rules, in the docs."""

import json
import re
from pathlib import Path

import pytest

from sealwright.cli.main import main
from sealwright.detection.catalogue.entries import CATALOGUE

DOCS = Path(__file__).resolve().parents[4] / "docs" / "detection.md"


def test_every_detection_is_listed_with_its_techniques(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detections", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in told] == [one.code for one in CATALOGUE]
    assert all(one["attack"] and one["means"] and one["do"] for one in told)
    assert main(["detections", "list"]) == 0
    assert "canary_token" in capsys.readouterr().out


def test_an_alarm_can_be_looked_up_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    for detection in CATALOGUE:
        assert main(["detections", "show", detection.code]) == 0
        told = capsys.readouterr().out
        assert detection.means in told
        assert detection.do in told
        assert main(["detections", "show", detection.code, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["severity"] == detection.severity
    assert main(["detections", "show", "nosuch"]) == 2
    assert "nosuch" in capsys.readouterr().err


def test_a_sigma_rule_is_written_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detections", "sigma", str(tmp_path / "rules")]) == 0
    files = {file.name for file in (tmp_path / "rules").iterdir()}
    assert files == {f"sealwright_{detection.code}.yml" for detection in CATALOGUE}
    (tmp_path / "file").write_text("")
    assert main(["detections", "sigma", str(tmp_path / "file")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_table_of_the_docs_is_the_catalogue() -> None:
    row = r"^\| `(\w+)` \| ([^|]+) \| (\w+) \| (\w+) \| (\d+) \| ([^|]+) \|$"
    rows = re.findall(row, DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [
        (one.code, one.title, one.severity, one.how, str(one.confidence), ", ".join(one.attack))
        for one in CATALOGUE
    ]
    assert rows == expected
