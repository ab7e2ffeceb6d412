"""Every part of the benchmark runs and finds that the answers are right. No figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parts import PARTS

PROGRAM = Path(__file__).resolve().parent.parent.parent / "run.py"


@pytest.mark.slow
@pytest.mark.enable_socket
@pytest.mark.parametrize("name", [part.name for part in PARTS])
def test_a_quick_run_measures_every_case_of_the_part(name: str, tmp_path: Path) -> None:
    out, text = tmp_path / "out.json", tmp_path / "out.md"
    command = [
        sys.executable,
        str(PROGRAM),
        "--quick",
        "--only",
        name,
        "--json",
        str(out),
        "--markdown",
        str(text),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    (part,) = json.loads(out.read_text())["parts"]
    assert text.read_text() == ran.stdout
    absent = [note for note in part["notes"] if note.startswith("NOT MEASURED")]
    if absent:
        pytest.skip("; ".join(absent))
    assert part["tables"]
    assert all(table["rows"] for table in part["tables"])
    assert [floor["name"] for floor in part["floors"] if floor["got"] is None] == []


def test_parts_have_names_of_their_own() -> None:
    assert len({part.name for part in PARTS}) == len(PARTS)
