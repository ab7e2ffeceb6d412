import re
import tomllib
from pathlib import Path

import pytest

from repo import ROOT

NAME = re.compile(r"^[A-Za-z0-9._-]+")
PROJECTS = sorted((ROOT / "packages").glob("*/pyproject.toml"), key=str)


def normal(requirement: str) -> str:
    found = NAME.match(requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def named_in(lines: list[str]) -> set[str]:
    return {normal(line) for line in lines if line[:1].isalnum()}


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_every_run_time_dependency_of_a_package_is_in_the_run_lock(project: Path) -> None:
    declared = {normal(each) for each in tomllib.loads(project.read_text())["project"]["dependencies"]}
    ours = {tomllib.loads(each.read_text())["project"]["name"] for each in PROJECTS}
    assert declared - ours <= named_in((ROOT / "requirements/run.in").read_text().splitlines())
    assert declared - ours <= set(locked("run.lock"))


def test_the_dev_lock_pins_every_run_time_version_alike() -> None:
    run, dev = locked("run.lock"), locked("dev.lock")
    assert {name: dev.get(name) for name in run} == run


@pytest.mark.parametrize("name", ["run", "dev", "installer"])
def test_every_line_of_a_requirements_file_reached_its_lock(name: str) -> None:
    asked = named_in((ROOT / "requirements" / f"{name}.in").read_text().splitlines())
    assert asked
    assert asked <= set(locked(f"{name}.lock"))
