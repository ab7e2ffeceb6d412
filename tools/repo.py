"""What the checks in this folder share: which files belong to the repository, and how findings are told.

A check reads and reports. It may never change a file, import one of our packages or reach the network.
"""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place; `line` is 0 where the whole file is meant."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}"


def tracked_files(root: Path) -> list[str]:
    """Every file that is committed or would be by `git add -A`, relative to `root`, sorted."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    return sorted({name for name in listed.split("\0") if name and (root / name).is_file()})


def text_of(path: Path) -> str | None:
    """The file's text, or None where it is binary."""
    raw = path.read_bytes()
    if b"\0" in raw:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def report(check: str, findings: Iterable[Finding]) -> int:
    """Write the findings and return the exit status: 0 when there are none, 1 otherwise."""
    told = sorted(findings, key=lambda finding: (finding.path, finding.line, finding.message))
    for finding in told:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{check}: {len(told)} finding{'' if len(told) == 1 else 's'}\n")
    return 1 if told else 0
