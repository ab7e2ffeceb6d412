"""Checks that each leaf package can be installed and used alone.

For each leaf: build its wheel, install that into a fresh environment with the versions of run.lock, compare
what is installed with the closure written below, import every module, ask its program for help, then add the
test tools and run the leaf's own fast tests there. It may never install a neighbour, nor test the source tree
instead of the wheel.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from repo import ROOT, Finding, report

CRYPTOGRAPHY = frozenset({"cryptography", "cffi", "pycparser"})
TEST_TOOLS = ("pytest", "pytest-socket", "pytest-timeout", "hypothesis")
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__") and module.name not in sys.argv[2:]:
        importlib.import_module(module.name)
"""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A package that must work alone, and every distribution that may be installed with it."""

    name: str
    closure: frozenset[str]
    of_extras: frozenset[str] = frozenset()
    """Modules that wrap what only an extra brings; they are loaded where they are used."""

    @property
    def folder(self) -> str:
        """The leaf's folder, relative to the root of the repository."""
        return f"packages/{self.name}"

    @property
    def distribution(self) -> str:
        """The name under which it is installed; its program has the same name."""
        return f"sealwright-{self.name}"

    @property
    def module(self) -> str:
        """The name under which it is imported."""
        return f"sealwright_{self.name}"


LEAVES = (
    Leaf("signer", CRYPTOGRAPHY, frozenset({"sealwright_signer.custody.keeper.token"})),
    Leaf("validate", CRYPTOGRAPHY),
    Leaf("attest", CRYPTOGRAPHY | {"cbor2", "dcap-qvl"}),
    Leaf("dumps", CRYPTOGRAPHY),
)


class StepFailedError(Exception):
    """A command of the check failed; the message says which and ends with what it printed."""


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command without standard input and return what it prints; raises StepFailedError on failure."""
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    ran = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        shown = " ".join(str(word) for word in words if "\n" not in str(word))
        raise StepFailedError(f"`{shown}` ended with {ran.returncode}\n{ran.stdout.strip()}")
    return ran.stdout


@dataclass(frozen=True, slots=True)
class Bench:
    """A fresh environment for one leaf of the tree at `root`."""

    root: Path
    leaf: Leaf
    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter of the fresh environment."""
        return self.folder / "venv/bin/python"

    def uv(self, *words: str | Path) -> str:
        """Run the installer on the fresh environment."""
        return run(
            Path(sys.executable).parent / "uv", *words, "--quiet", "--python", self.python, cwd=self.folder
        )

    def require_alone_in_fresh_environment(self) -> None:
        """Build the wheel and install it with its declared dependencies only."""
        source = self.root / self.leaf.folder
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", self.folder / "dist", cwd=source)
        run(sys.executable, "-m", "venv", "--without-pip", self.folder / "venv", cwd=self.folder)
        (wheel,) = (self.folder / "dist").glob("*.whl")
        self.uv("pip", "install", "--constraint", self.root / "requirements/run.lock", wheel)

    def require_closure(self) -> None:
        """Raise StepFailedError unless exactly the leaf and its closure are installed."""
        listed = json.loads(self.uv("pip", "list", "--format", "json"))
        installed = {each["name"].lower().replace("_", "-") for each in listed}
        allowed = self.leaf.closure | {self.leaf.distribution}
        if installed != allowed:
            more, fewer = sorted(installed - allowed), sorted(allowed - installed)
            raise StepFailedError(
                f"installed but not in its closure: {more}; in its closure but absent: {fewer}"
            )

    def require_importable(self) -> None:
        """Import every module of the leaf: what only an extra brings is imported where it is used."""
        passed_over = sorted(self.leaf.of_extras)
        run(self.python, "-I", "-c", IMPORT_ALL, self.leaf.module, *passed_over, cwd=self.folder)

    def require_program(self) -> None:
        """Ask the leaf's own program for help."""
        scripts = tomllib.loads((self.root / self.leaf.folder / "pyproject.toml").read_text())["project"][
            "scripts"
        ]
        if self.leaf.distribution not in scripts:
            raise StepFailedError(f"pyproject.toml declares no program {self.leaf.distribution}")
        run(self.python.parent / self.leaf.distribution, "--help", cwd=self.folder)

    def require_tests_pass(self) -> str:
        """Run the leaf's fast tests on the installed wheel and return pytest's closing line."""
        self.uv("pip", "install", "--constraint", self.root / "requirements/dev.lock", *TEST_TOOLS)
        tests = ("-q", "-m", "not slow", "-p", "no:cacheprovider", f"{self.leaf.folder}/tests")
        return run(self.python, "-m", "pytest", *tests, cwd=self.root).strip().splitlines()[-1]


def check(root: Path, leaf: Leaf, write: Callable[[str], object] = sys.stdout.write) -> list[Finding]:
    """Everything that keeps the leaf from being used alone; empty when nothing does."""
    with tempfile.TemporaryDirectory(prefix=f"leaf-{leaf.name}-") as folder:
        bench = Bench(root, leaf, Path(folder))
        found: list[Finding] = []
        try:
            bench.require_alone_in_fresh_environment()
        except StepFailedError as failed:
            return [Finding(leaf.folder, 0, str(failed))]
        for step in (bench.require_closure, bench.require_importable, bench.require_program):
            try:
                step()
            except StepFailedError as failed:
                found.append(Finding(leaf.folder, 0, str(failed)))
        try:
            write(f"{leaf.distribution} alone: {bench.require_tests_pass()}\n")
        except StepFailedError as failed:
            found.append(Finding(leaf.folder, 0, str(failed)))
        return found


def main() -> int:
    """Check the leaves that are named, or all; the exit status is 0 only when each can be used alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="LEAF", help=", ".join(leaf.name for leaf in LEAVES))
    names: list[str] = parser.parse_args().names
    unknown = set(names) - {leaf.name for leaf in LEAVES}
    if unknown:
        parser.error(f"no such leaf: {', '.join(sorted(unknown))}")
    chosen = [leaf for leaf in LEAVES if not names or leaf.name in names]
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = [finding for each in pool.map(lambda leaf: check(ROOT, leaf), chosen) for finding in each]
    return report("leaves", found)


if __name__ == "__main__":
    sys.exit(main())
