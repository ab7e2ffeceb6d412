"""The outcome as one self-contained HTML page: a picture of the whole matrix, then every case with every
verdict.

May never load anything from elsewhere, nor put a text into the page without escaping it.
"""

from collections.abc import Iterator
from html import escape
from typing import Final

from sealwright_validate.conformance.grade import Grade, Table
from sealwright_validate.conformance.render.text import summary_rows

_COLOURS: Final = {
    Grade.RIGHT: "#2e7d5b",
    Grade.WEAK: "#e0a030",
    Grade.WRONG: "#c0392b",
    Grade.NOT_APPLICABLE: "#d5d8dc",
}
_CELL: Final = 3  # pixels a case is wide in the picture
_LANE: Final = 22  # pixels a target is high in the picture
_LABEL: Final = 220  # pixels for the names of targets

_STYLE: Final = """ body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:110rem;padding:0
1rem;color:#1b2631} table{border-collapse:collapse;font-size:13px}th,td{border:1px solid #d5d8dc;padding:.2rem
.5rem;text-align:left} thead
th{position:sticky;top:0;background:#fff}td.right{color:#2e7d5b}td.weak{background:#fdf2dc}
td.wrong{background:#c0392b;color:#fff;font-weight:600}td.na{color:#909497}svg{max-width:100%;height:auto}
code{font-size:12px}.key span{display:inline-block;width:1em;height:1em;vertical-align:-.15em;margin:0 .3em 0
1em}
"""


def as_html(table: Table) -> str:
    """The page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Token validation conformance</title>",
        f"<style>{_STYLE}</style><h1>Token validation conformance</h1>",
        f"<p>{len(table.cases)} named tokens, {len(table.columns)} relying parties.",
        "<p class=key>",
        *(f'<span style="background:{colour}"></span>{escape(grade)}' for grade, colour in _COLOURS.items()),
        "</p>",
        *_picture(table),
        *_summary(table),
        *_details(table),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _picture(table: Table) -> Iterator[str]:
    width, height = _LABEL + _CELL * len(table.cases), _LANE * len(table.columns) + 30
    yield f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
    yield "<title>Every case (one stripe each) for every relying party (one lane each)</title>"
    for lane, column in enumerate(table.columns):
        top = lane * _LANE
        yield f'<text x="0" y="{top + 15}" font-size="13">{escape(column.title)}</text>'
        for at, case in enumerate(table.cases):
            colour = _COLOURS[column.grades[case.name]]
            left = _LABEL + at * _CELL
            yield f'<rect x="{left}" y="{top}" width="{_CELL}" height="{_LANE - 4}" fill="{colour}"/>'
    start = 0
    for group, cases in table.groups.items():
        left = _LABEL + start * _CELL
        yield f'<text x="{left}" y="{height - 8}" font-size="11" fill="#566573">{escape(group)}</text>'
        start += len(cases)
    yield "</svg>"


def _summary(table: Table) -> Iterator[str]:
    first, *rest = summary_rows(table)
    yield "<h2>Summary</h2><table><thead><tr>"
    yield "".join(f"<th>{escape(cell)}</th>" for cell in first) + "</tr></thead>"
    for row in rest:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"


def _details(table: Table) -> Iterator[str]:
    yield "<h2>Every token</h2><table><thead><tr><th>token</th><th>how it was made</th><th>expected</th>"
    yield "".join(f"<th>{escape(column.title)}</th>" for column in table.columns) + "</tr></thead>"
    for case in table.cases:
        expected = f"{'accept' if case.accept else 'refuse'} ({case.force})"
        cells = [f"<td><code>{escape(case.name)}</code></td><td>{escape(case.how)}</td><td>{expected}</td>"]
        for column in table.columns:
            grade, said = column.grades[case.name], column.said[case.name]
            kind = "na" if grade is Grade.NOT_APPLICABLE else grade.value
            cells.append(f'<td class="{kind}" title="{escape(said.detail)}">{escape(said.verdict)}</td>')
        yield "<tr>" + "".join(cells) + "</tr>"
    yield "</table>"
