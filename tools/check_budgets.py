"""Checks the budgets that keep files readable and the signer small enough to review.

Functions of at most 30 statements are ruff's business (PLR0915 in pyproject.toml). This check may never grow
an exception list: a file over budget is split by meaning.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from repo import ROOT, Finding, report, text_of, tracked_files

FILE_LINES = 400  # physical lines of any Python file: blank lines and comments count
SIGNER_LINES = 1_500  # physical lines of all Python files of the signer's source
SIGNER_SOURCE = "packages/signer/src/"


def over_budget(root: Path) -> Iterator[Finding]:
    """Every Python file, and the signer as a whole, that is longer than its budget."""
    signer = 0
    for name in tracked_files(root):
        if not name.endswith(".py"):
            continue
        lines = len((text_of(root / name) or "").splitlines())
        if lines > FILE_LINES:
            yield Finding(name, 0, f"{lines} lines; a file has at most {FILE_LINES}: split it by meaning")
        if name.startswith(SIGNER_SOURCE):
            signer += lines
    if signer > SIGNER_LINES:
        yield Finding(SIGNER_SOURCE, 0, f"{signer} lines; the signer has at most {SIGNER_LINES}")


def main() -> int:
    """Check the repository; the exit status is 0 only when every budget is kept."""
    return report("budgets", over_budget(ROOT))


if __name__ == "__main__":
    sys.exit(main())
