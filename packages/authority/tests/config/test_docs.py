"""The configuration page names every value with the default that the code has."""

import re
from pathlib import Path
from typing import get_args

import pytest

from sealwright.config import Config
from sealwright.config.durations import spoken
from sealwright.config.shape import is_duration, is_section, members

PAGE = Path(__file__).resolve().parents[4] / "docs" / "configuration.md"


def leaves() -> list[tuple[str, object]]:
    """Path and default of every value, as the page writes them."""
    found: list[tuple[str, object]] = []
    for section, kind in members(Config).items():
        inner = kind if is_section(kind) else get_args(kind)[1]
        value = getattr(Config(), section) if is_section(kind) else Config().realms["enterprise"]
        prefix = section if is_section(kind) else f"{section}.<name>"
        for name, of in members(inner).items():
            default = getattr(value, name)
            found.append((f"{prefix}.{name}", spoken(default) if is_duration(of) else default))
    return found


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    if not PAGE.is_file():
        pytest.skip(f"DOCUMENTATION ABSENT: {PAGE} is not here; this test runs in the repository")
    named = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            paths, default = (cell.strip() for cell in line.split("|")[1:3])
            for path in re.findall(r"`([^`]+)`", paths):
                named[path] = default
    return named


def test_every_value_is_on_the_page_and_nothing_else(rows: dict[str, str]) -> None:
    assert set(rows) == {path for path, _ in leaves()}


@pytest.mark.parametrize(("path", "default"), leaves())
def test_its_default_is_the_one_of_the_code(rows: dict[str, str], path: str, default: object) -> None:
    if path in {"server.public_url", "realms.<name>.audiences", "realms.<name>.scopes"}:
        return  # derived, required, and empty unless it is the demo's
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    if isinstance(default, tuple):
        shown = "[" + ", ".join(f'"{item}"' for item in default) + "]"
    assert shown in rows[path]
