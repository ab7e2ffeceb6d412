"""Writes what a run found as text and as JSON. The only place that rounds a figure.

It may never leave out a part, a note or a floor that was missed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.model import Cell, Floor, Outcome, Part, Table

Loads = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part that ran: what it found, how long it took, and the load average on either side of it."""

    part: Part
    outcome: Outcome
    seconds: float
    load_before: Loads
    load_after: Loads


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run of the benchmark."""

    command: str
    date: str
    machine: Mapping[str, str]
    seconds: float
    parts: Sequence[PartReport]


def shown(cell: Cell) -> str:
    """A figure with three or more significant digits, a text as it is, and a hyphen for what was not
    measured.
    """
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:  # noqa: PLR2004 - three digits before the point
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"  # noqa: PLR2004 - two digits before the point


def table_lines(table: Table) -> list[str]:
    """The table in Markdown with columns of even width, figures to the right."""
    rows = [[shown(cell).replace("|", "\\|") for cell in row] for row in table.rows]
    widths = [max(len(line[at]) for line in [list(table.columns), *rows]) for at in range(len(table.columns))]
    numeric = [
        all(not isinstance(row[at], str) for row in table.rows) and bool(rows) for at in range(len(widths))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    return [f"### {table.title}", "", line(table.columns), line(rule), *(line(row) for row in rows), ""]


def floor_line(floor: Floor) -> str:
    """One promise and what this run got."""
    return f"| {floor.name} | {shown(floor.wanted)} | {shown(floor.got)} | {floor.verdict} |"


def loads(found: Loads) -> str:
    """A load average as text."""
    return " ".join(f"{figure:.2f}" for figure in found)


def part_lines(report: PartReport) -> list[str]:
    """One part in Markdown."""
    lines = [f"## {report.part.title}", ""]
    lines.append(
        f"Part `{report.part.name}`, {report.seconds:.0f} s; "
        f"load average before {loads(report.load_before)}, after {loads(report.load_after)}."
    )
    lines.append("")
    for table in report.outcome.tables:
        lines += table_lines(table)
    if report.outcome.notes:
        lines += [*(f"- {note}" for note in report.outcome.notes), ""]
    return lines


def markdown(report: RunReport) -> str:
    """The whole run in Markdown."""
    lines = ["# Benchmarks", ""]
    lines += ["Written by the program below, all figures in one run; do not edit.", ""]
    lines += [f"    {report.command}", ""]
    lines += [f"{report.date}, {report.seconds:.0f} s.", ""]
    lines += [*(f"- {name}: {fact}" for name, fact in report.machine.items()), ""]
    lines += [
        "Cases are interleaved in rounds; figures are medians over the rounds and ratios are medians of the"
    ]
    lines += [
        "ratios within a round, because the speed of a shared host drifts by more than the cases differ.",
        "",
    ]
    floors = [floor for part in report.parts for floor in part.outcome.floors]
    if floors:
        lines += ["| floor | wanted | this run | |", "|---|---:|---:|---|", *map(floor_line, floors), ""]
    for part in report.parts:
        lines += part_lines(part)
    return "\n".join(lines).rstrip() + "\n"


def as_json(report: RunReport) -> dict[str, Any]:
    """The whole run as JSON: figures as they were measured, not rounded."""
    return {
        "command": report.command,
        "date": report.date,
        "machine": dict(report.machine),
        "seconds": report.seconds,
        "parts": [
            {
                "name": part.part.name,
                "title": part.part.title,
                "seconds": part.seconds,
                "load_before": list(part.load_before),
                "load_after": list(part.load_after),
                "tables": [
                    {
                        "title": table.title,
                        "columns": list(table.columns),
                        "rows": [list(row) for row in table.rows],
                    }
                    for table in part.outcome.tables
                ],
                "floors": [{**asdict(floor), "verdict": floor.verdict} for floor in part.outcome.floors],
                "notes": list(part.outcome.notes),
            }
            for part in report.parts
        ],
    }
