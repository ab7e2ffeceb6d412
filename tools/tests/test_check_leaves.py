import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from check_leaves import LEAVES, Leaf, check
from repo import ROOT

MakeTree = Callable[[dict[str, str]], Path]

PLANTED = Leaf("planted", frozenset())
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "sealwright-planted"
version = "0.1.0"
dependencies = []

[project.scripts]
sealwright-planted = "sealwright_planted.__main__:main"

[tool.hatch.build.targets.wheel]
packages = ["src/sealwright_planted"]
"""
GOOD = {
    "pyproject.toml": "",
    "packages/planted/pyproject.toml": PROJECT,
    "packages/planted/src/sealwright_planted/__init__.py": "ONE = 1\n",
    "packages/planted/src/sealwright_planted/__main__.py": "def main() -> None: ...\n",
    "packages/planted/tests/test_one.py": "import sealwright_planted as s\ndef test(): assert s.ONE == 1\n",
}


def found_in(root: Path) -> tuple[str, list[str]]:
    """What the check writes and finds about the planted leaf."""
    shutil.copytree(ROOT / "requirements", root / "requirements")
    written: list[str] = []
    found = [finding.message for finding in check(root, PLANTED, written.append)]
    return "".join(written), found


def test_the_leaves_are_the_packages_beside_the_authority() -> None:
    folders = {path.parent.name for path in (ROOT / "packages").glob("*/pyproject.toml")}
    assert {leaf.name for leaf in LEAVES} == folders - {"authority"}


@pytest.mark.slow
def test_a_leaf_that_works_alone_passes_with_pytests_closing_line(tree: MakeTree) -> None:
    written, found = found_in(tree(GOOD))
    assert found == []
    assert "sealwright-planted alone: 1 passed" in written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("packages/planted/src/sealwright_planted/more.py", "import msgspec\n", "No module named 'msgspec'"),
        ("packages/planted/tests/test_one.py", "def test_one(): assert False\n", "1 failed"),
        ("packages/planted/tests/test_one.py", "", "no tests ran"),
        ("packages/planted/src/sealwright_planted/__main__.py", "", "cannot import name 'main'"),
        (
            "packages/planted/pyproject.toml",
            PROJECT.replace("dependencies = []", 'dependencies = ["idna"]'),
            "installed but not in its closure: ['idna']",
        ),
        ("packages/planted/pyproject.toml", "[project", "hatchling build -t wheel"),
    ],
    ids=["undeclared import", "failing test", "no test", "no program", "one dependency more", "no build"],
)
def test_a_leaf_that_does_not_work_alone_is_found(tree: MakeTree, name: str, text: str, told: str) -> None:
    _, found = found_in(tree({**GOOD, name: text}))
    assert any(told in message for message in found), found


@pytest.mark.slow
def test_a_dependency_less_than_the_closure_is_found(tree: MakeTree) -> None:
    root = tree(GOOD)
    shutil.copytree(ROOT / "requirements", root / "requirements")
    written: list[str] = []
    found = check(root, Leaf("planted", frozenset({"cryptography"})), written.append)
    assert any("absent: ['cryptography']" in finding.message for finding in found), found
