"""A scope as CSV, JSON or one self-contained HTML page with a picture of the time line.

Everything that came from outside is escaped; a cell that a spreadsheet would run as a formula is defused.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from sealwright.response.affected import Reach, Scope, Touched

BAR, GAP, HEIGHT = 12, 2, 80
"""Pixels of the picture: a bar's width, the space between two, the tallest bar."""
TOUCHED_HEAD = ("tenant", "subject", "client", "resource", "reporter", "accepted", "refused", "first", "last")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(found: Scope) -> str:
    """The whole answer, indented."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def as_csv(found: Scope) -> str:
    """One line for each touched row, and one for each tenant that could have been; the first column says
    which.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["set", *Touched.__struct_fields__, "subjects_in_reach"])
    for row in found.touched:
        values = [getattr(row, name) for name in Touched.__struct_fields__]
        writer.writerow(["touched", *map(_cell, values), ""])
    for tenant in found.reach:
        times = (tenant.first_at, tenant.last_at)
        writer.writerow(
            [
                "could_have_been",
                _cell(tenant.tenant),
                "",
                "",
                "",
                "",
                "",
                tenant.tokens,
                "",
                "",
                *times,
                tenant.subjects,
            ]
        )
    return out.getvalue()


def as_html(found: Scope) -> str:
    """One page without scripts or anything from elsewhere."""
    about = found.question.kid or found.question.client_id or ""
    kind = "key" if found.question.kid else "client"
    title = f"Blast radius of {kind} {html.escape(about)}"
    subjects = len({row.sub_digest for row in found.touched})
    summary = (
        f"<p>From {_time(found.question.since)} to {_time(found.question.until)}. "
        f"<b>{subjects}</b> subjects of <b>{len({row.tenant for row in found.touched})}</b> tenants "
        f"<b>were</b> touched. <b>{sum(row.subjects for row in found.reach)}</b> subjects of "
        f"<b>{len(found.reach)}</b> tenants <b>could have been</b>.</p>"
    )
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>{_STYLE}",
        f"<h1>{title}</h1>{summary}",
        _picture(found.hours),
        "<h2>Touched (proven)</h2>",
        _table(TOUCHED_HEAD, _touched(found.touched)),
        "<h2>Could have been touched (in reach, nothing proven)</h2>",
        _table(["tenant", "subjects", "tokens", "touched", "first", "last"], _reach(found.reach)),
        "<h2>Missing evidence</h2>",
        _table(["kind", "about", "what"], ([m.kind, m.about, m.detail] for m in found.missing)),
    ]
    return "\n".join(parts) + "\n"


_STYLE = (
    "<style>body{font:15px system-ui;margin:2rem;max-width:75rem}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.2rem .5rem;text-align:left}</style>"
)


def _touched(rows: Iterable[Touched]) -> Iterable[Sequence[object]]:
    for row in rows:
        who = (row.sub_digest or "(unknown)")[:16]
        times = (_time(row.first_at), _time(row.last_at))
        yield [row.tenant, who, row.client_id, row.resource, row.reporter, row.accepted, row.refused, *times]


def _reach(rows: Iterable[Reach]) -> Iterable[Sequence[object]]:
    for row in rows:
        times = (_time(row.first_at), _time(row.last_at))
        yield [row.tenant, row.subjects, row.tokens, row.touched_subjects, *times]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}" for name in head)
    lines = [f"<table><tr>{cells}"]
    lines += [
        "<tr>" + "".join(f"<td>{html.escape('' if v is None else str(v))}" for v in row) for row in rows
    ]
    return "\n".join(lines) + "</table>"


def _picture(hours: Sequence[tuple[float, int]]) -> str:
    """Forged uses by the hour, as an SVG drawing; hours without any are left out."""
    if not hours:
        return "<p>No forged token was presented in this time.</p>"
    most = max(uses for _, uses in hours)
    bars = []
    for number, (start, uses) in enumerate(hours):
        height = max(1, round(HEIGHT * uses / most))
        place = f'x="{number * (BAR + GAP)}" y="{HEIGHT - height}" width="{BAR}" height="{height}"'
        bars.append(f'<rect {place} fill="#b00"><title>{_time(start)}: {uses}</title></rect>')
    width = len(hours) * (BAR + GAP)
    label = f"Forged uses by the hour, {_time(hours[0][0])} to {_time(hours[-1][0])}; most in an hour: {most}"
    size = f'width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}"'
    head = f'<svg role="img" aria-label="{label}" {size}>'
    return f"<figure>{head}{''.join(bars)}</svg><figcaption>{label}</figcaption></figure>"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
