"""How commands write: JSON for programs, rich for people."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

UNWATCHED_WIDTH = 160


def write_json(value: Any) -> None:
    """One JSON document, indented, on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def write_json_line(value: Any) -> None:
    """One JSON document on one line, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def console() -> Console:
    """A console on standard output that wraps nothing people may want to copy; wide where nobody is
    watching.
    """
    made = Console(highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = max(made.width, UNWATCHED_WIDTH)
    return made


def table(*columns: str, whole: str = "") -> Table:
    """An empty table with these columns; what is in the column `whole` is never folded, so that it can be
    copied.
    """
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column == whole)
    return made


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 log", "2,000 logs"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def moment(seconds: float | None) -> str:
    """A time for people, UTC."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
