"""Writes the generated parts of docs/validate.md: the steps, the steps of a proof, and the reasons.

Run `python packages/validate/make_page.py` after changing a step or a reason; a test compares. May never
write outside the marked parts.
"""

# ruff: noqa: INP001 - a program, not a package

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sealwright_validate.dpop import PROOF_STEPS
from sealwright_validate.errors import PUBLIC_SENTENCES, Reason
from sealwright_validate.explain import what_it_checks
from sealwright_validate.steps import STEPS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "validate.md"


def numbered(steps: Sequence[Callable[[Any], None]]) -> str:
    """One line a step, in the words of its docstring."""
    return "\n".join(f"{number}. {what_it_checks(step)}" for number, step in enumerate(steps, 1))


def reasons() -> str:
    """The table of reasons."""
    rows = "\n".join(f"| `{reason}` | {PUBLIC_SENTENCES[reason]} |" for reason in Reason)
    return f"| reason | sentence |\n|---|---|\n{rows}"


def generated(page: str) -> str:
    """The page with its marked parts written anew."""
    for mark, text in (
        ("steps", numbered(STEPS)),
        ("proof steps", numbered(PROOF_STEPS)),
        ("reasons", reasons()),
    ):
        begin, end = f"<!-- {mark} -->\n", f"\n<!-- end of {mark} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no part marked {mark!r}")
        page = f"{before}{begin}{text}{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
