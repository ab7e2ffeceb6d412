import json

from harness.model import Floor, Outcome, Part, Table
from harness.report import PartReport, RunReport, as_json, markdown, shown

TABLE = Table("Rates", ("server", "tokens/s"), (("a|b", 1234.5), ("none", None)))


def report(outcome: Outcome) -> RunReport:
    part = Part("some", "Some part", lambda setting: outcome)
    loads = (0.5, 0.25, 0.125)
    return RunReport(
        "python bench/run.py", "2026-01-01", {"CPU": "2"}, 9.0, [PartReport(part, outcome, 8.0, loads, loads)]
    )


def test_figures_keep_three_digits() -> None:
    assert [shown(cell) for cell in (12345.6, 123.4, 12.34, 1.234, 0.1234, 7, "x", None)] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
        "0.12",
        "7",
        "x",
        "-",
    ]


def test_a_missed_floor_an_unmeasured_one_and_every_note_are_shown() -> None:
    floors = (Floor("fast", 2.0, 1.5), Floor("faster", 4.0, None), Floor("fine", 1.0, 1.0))
    text = markdown(report(Outcome((TABLE,), floors, ("NOT MEASURED: that",))))
    assert "| fast | 2.00 | 1.50 | missed |" in text
    assert "| faster | 4.00 | - | not measured |" in text
    assert "| fine | 1.00 | 1.00 | met |" in text
    assert "- NOT MEASURED: that" in text
    assert "load average before 0.50 0.25 0.12" in text


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert "a\\|b" in markdown(report(Outcome((TABLE,))))


def test_json_keeps_the_figures_as_measured() -> None:
    found = json.loads(json.dumps(as_json(report(Outcome((TABLE,), (Floor("fast", 2.0, 1.5),))))))
    assert found["parts"][0]["tables"][0]["rows"] == [["a|b", 1234.5], ["none", None]]
    assert found["parts"][0]["floors"] == [{"name": "fast", "wanted": 2.0, "got": 1.5, "verdict": "missed"}]
