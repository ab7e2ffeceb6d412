"""The import contracts of pyproject.toml hold on the tree as it is, and break on planted violations."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repo import ROOT

Lint = Callable[[dict[str, str]], str]

LEAVES = "Leaves import nothing of each other nor of the authority"
ROOMS = "Inside the authority imports point downwards, and every room has a place"
STORE_IN = "Only wiring imports store"
STORE_OUT = "Store knows the rooms' ports and models, not their rules, services or routes"


@pytest.fixture
def lint(tmp_path: Path) -> Lint:
    """Copies the packages, adds lines to files (missing ones are made) and returns what lint-imports says."""
    for package in (ROOT / "packages").glob("*/src/*"):
        if package.is_dir():
            shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def plant(name: str, line: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.relative_to(tmp_path).parents[:-1]:
            (tmp_path / folder / "__init__.py").touch()
        with path.open("a") as file:
            file.write(line)

    def run(planted: dict[str, str]) -> str:
        for name, line in planted.items():
            plant(name, line)
        return subprocess.run(
            [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    return run


def inside(room: str) -> str:
    """A file of the room, be it a package or a single module."""
    if (ROOT / f"packages/authority/src/sealwright/{room}.py").exists():
        return f"sealwright/{room}.py"
    return f"sealwright/{room}/__init__.py"


def broken(told: str) -> set[str]:
    """The names of the contracts that were reported as broken."""
    assert "Contracts: " in told, told
    return set(re.findall(r"^(.+) BROKEN(?: \(.*\))?$", told, re.MULTILINE))


def test_the_tree_keeps_every_contract(lint: Lint) -> None:
    told = lint({})
    assert broken(told) == set()
    assert "4 kept, 0 broken" in told


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("sealwright_signer", "sealwright_validate"),
        ("sealwright_validate", "sealwright"),
        ("sealwright_attest", "sealwright_signer"),
        ("sealwright_dumps", "sealwright_attest"),
    ],
)
def test_a_leaf_that_imports_a_neighbour_or_the_authority_is_named(
    lint: Lint, importer: str, imported: str
) -> None:
    assert broken(lint({f"{importer}/planted.py": f"import {imported}\n"})) == {LEAVES}


@pytest.mark.parametrize(
    ("room", "above_or_beside"),
    [
        ("keys", "issuer"),
        ("ledger", "keys"),
        ("issuer", "discovery"),
        ("issuer", "detection"),
        ("detection", "response"),
        ("console", "demo"),
        ("demo", "wiring"),
        ("wiring", "cli"),
        ("errors", "ids"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_named(lint: Lint, room: str, above_or_beside: str) -> None:
    planted = {inside(above_or_beside): "", inside(room): f"\nimport sealwright.{above_or_beside}\n"}
    assert ROOMS in broken(lint(planted))


def test_a_room_without_a_place_is_named(lint: Lint) -> None:
    assert broken(lint({"sealwright/utils/planted.py": ""})) == {ROOMS}


STORE_LINES = ["import sealwright.store.planted", "import sealwright.store", "from sealwright import store"]


@pytest.mark.parametrize("line", STORE_LINES)
def test_nobody_but_wiring_imports_store(lint: Lint, line: str) -> None:
    store = {"sealwright/store/planted.py": ""}
    assert broken(lint({**store, "sealwright/cli/planted.py": f"{line}\n"})) == {STORE_IN}


@pytest.mark.parametrize("wiring", ["sealwright/wiring.py", "sealwright/wiring/planted.py"])
def test_wiring_imports_store_whether_it_is_a_module_or_a_package(lint: Lint, wiring: str) -> None:
    lines = "\n".join(("", *STORE_LINES, ""))
    assert broken(lint({"sealwright/store/planted.py": "", wiring: lines})) == set()


def test_store_may_import_ports_and_models(lint: Lint) -> None:
    rooms = {"sealwright/keys/ports.py": "", "sealwright/keys/model.py": ""}
    line = "import sealwright.keys.ports\nimport sealwright.keys.model\n"
    assert broken(lint({**rooms, "sealwright/store/planted.py": line})) == set()


@pytest.mark.parametrize("file", ["rules", "service", "http"])
def test_store_imports_nothing_else_of_a_room(lint: Lint, file: str) -> None:
    rooms = {f"sealwright/keys/{file}.py": ""}
    line = f"import sealwright.keys.{file}\n"
    assert broken(lint({**rooms, "sealwright/store/planted.py": line})) == {STORE_OUT}
