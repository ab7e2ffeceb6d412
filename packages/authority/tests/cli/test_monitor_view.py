"""What `sealwright monitor` shows: a live table for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from sealwright.cli.monitor_view import (
    JsonView,
    LiveView,
    PlainView,
    as_document,
    line,
    print_report,
    summary,
)
from sealwright.monitor.model import Alarm, Code, LogView, Report, Tally

GOOD = LogView("a" * 16, "x/" + "a" * 16, "hardware", True, 1_234, 1_234, "ok")
BAD = LogView("b" * 16, "x/" + "b" * 16, "none", True, 99, 7, "gap")
ALARM = Alarm(1_800_000_000.0, Code.GAP, "b" * 16, 7, "bundle 0 is cut short")
TALLY = Tally(leaves=1_241, tokens=1_200, bytes=50_000)
SOUND, BROKEN = Report([GOOD], TALLY, 2.0), Report([GOOD, BAD], TALLY, 2.0, [ALARM])


def test_the_live_table_shows_every_log_what_is_verified_and_the_alarms() -> None:
    shown = io.StringIO()
    with LiveView(Console(file=shown, force_terminal=True, width=150)) as view:
        view.progress("a" * 16, 65_536, 200_000)
        view.show([ALARM], BROKEN)
        view.progress("b" * 16, 65_536, 200_000)
        view.progress("b" * 16, 65_537, 200_000)
    text = shown.getvalue()
    for part in (
        "65,536 of 200,000",
        "a" * 16,
        "1,234",
        "hardware",
        "gap",
        "leaf 7: bundle 0 is cut short",
        "1 alarm",
    ):
        assert part in text
    assert "65,537" not in text


def test_lines_are_written_for_new_alarms_only(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView() as view:
        view.progress("a" * 16, 1, 2)
        view.show([], SOUND)
        view.show([ALARM], BROKEN)
        view.show([], BROKEN)
    assert capsys.readouterr().out.splitlines() == [summary(SOUND), line(ALARM)]


def test_programs_get_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonView() as view:
        view.progress("a" * 16, 1, 2)
        view.show([], SOUND)
        view.show([ALARM, ALARM], BROKEN)
    told = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert (
        told
        == [{"at": 1.8e9, "code": "gap", "log_id": "b" * 16, "index": 7, "detail": "bundle 0 is cut short"}]
        * 2
    )


def test_the_report_says_the_same_to_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(BROKEN)
    text = capsys.readouterr().out
    assert "gap" in text
    assert "bundle 0 is cut short" in text
    told = as_document(BROKEN)
    assert (told["sound"], told["leaves"], len(told["logs"]), len(told["alarms"])) == (False, 1_241, 2, 1)
    assert as_document(SOUND)["sound"]
