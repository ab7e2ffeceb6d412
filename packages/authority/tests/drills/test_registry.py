"""All drills one after the other: one line each, and a failure of any is a failure of the whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from sealwright.cli.main import main
from sealwright.drills import registry
from sealwright.drills.model import Drill, Finding


class Only(StrEnum):
    """The one control."""

    ONE = "one"


class Nowhere:
    """A place in which nothing is started."""

    def __init__(self, directory: Path, disabled: Collection[str]) -> None:
        self.directory, self.disabled = directory, disabled

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def remove(self) -> None:
        """Take the folder away."""
        self.directory.rmdir()


def drill(name: str, *held: bool) -> Drill:
    def step(_place: Nowhere) -> Iterator[Finding]:
        for number, good in enumerate(held):
            yield Finding(f"{number}-step", "attack", Only.ONE, "refused", "refused", good)

    return Drill(name, "what it shows", (step,), tuple(Only), {}, "nowhere", Nowhere)


def known(monkeypatch: pytest.MonkeyPatch, *drills: Drill) -> None:
    monkeypatch.setattr(registry, "_KNOWN", {one.name: one for one in drills})


def test_all_drills_are_run_and_one_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(monkeypatch, drill("weak", True, False), drill("strong", True, True, True))
    assert main(["drill", "all"]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert lines[0][:5] == ["did", "not", "hold", "weak", "2"]
    assert lines[0][-1] == "1-step"
    assert lines[1][:3] == ["held", "strong", "3"]


def test_the_status_is_zero_only_if_every_drill_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(monkeypatch, drill("first", True), drill("second", True))
    assert main(["drill", "all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["held"], [one["drill"] for one in told["drills"]]) == (True, ["first", "second"])
    known(monkeypatch, drill("first", True), drill("nothing shown"))
    assert main(["drill", "all", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["held"] is False
