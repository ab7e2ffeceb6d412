"""A scope as CSV, JSON or one self-contained HTML page with a picture of the time line.

Everything that came from outside is escaped; a cell that a spreadsheet would run as a formula is defused.
"""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from sealwright.response.affected import Hour, Missing, Reach, Scope, Touched

WIDTH, HEIGHT, GAP = 960, 80, 1
"""Pixels of the picture: the whole time line, the tallest bar, the space between two bars."""
BARS = 160
"""How many bars the time line has at the most; more hours share one."""
TICKS = 4
HOUR = 3_600.0
TOUCHED_HEAD = (
    *("tenant", "subject", "client", "audience", "resource", "reporter", "key"),
    *("accepted", "refused", "first", "last"),
)
CSV_MORE = ("subjects_in_reach", "evidence", "detail", "count")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(found: Scope) -> str:
    """The whole answer, indented."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def as_csv(found: Scope) -> str:
    """One line for each touched row, each tenant that could have been, and each thing that there is no
    evidence of; the first column says which.
    """
    out = io.StringIO()
    names = ("set", *Touched.__struct_fields__, *CSV_MORE)
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    for kind, rows in (
        ("touched", map(msgspec.structs.asdict, found.touched)),
        ("could_have_been", map(_reach_cells, found.reach)),
        ("missing_evidence", map(_missing_cells, found.missing)),
    ):
        writer.writerows({"set": kind, **{name: _cell(value) for name, value in row.items()}} for row in rows)
    return out.getvalue()


def _reach_cells(row: Reach) -> dict[str, object]:
    times = {"first_at": row.first_at, "last_at": row.last_at}
    return {"tenant": row.tenant, "tokens": row.tokens, "subjects_in_reach": row.subjects, **times}


def _missing_cells(gap: Missing) -> dict[str, object]:
    return {"evidence": f"{gap.kind}: {gap.about}", "detail": gap.detail, "count": gap.count}


def as_html(found: Scope) -> str:
    """One page without scripts or anything from elsewhere."""
    title = f"Blast radius of {html.escape(found.question.about())}"
    subjects = len({(row.tenant, row.sub_digest) for row in found.touched})
    summary = (
        f"<p>From {_time(found.question.since)} to {_time(found.question.until)}. "
        f"<b>{subjects}</b> subjects of <b>{len({row.tenant for row in found.touched})}</b> tenants "
        f"<b>were</b> touched. <b>{sum(row.subjects for row in found.reach)}</b> subjects of "
        f"<b>{len(found.reach)}</b> tenants <b>could have been</b>.</p>"
    )
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>{_STYLE}",
        f"<h1>{title}</h1>{summary}",
        _picture(found),
        "<h2>Touched (proven)</h2>",
        _table(TOUCHED_HEAD, _touched(found.touched)),
        "<h2>Could have been touched (in reach, nothing proven)</h2>",
        _table(["tenant", "subjects", "tokens", "touched", "first", "last"], _reach(found.reach)),
        "<h2>Missing evidence</h2>",
        _table(["kind", "about", "what", "how many"], map(_gap, found.missing)),
    ]
    return "\n".join(parts) + "\n"


_STYLE = (
    "<style>body{font:15px system-ui;margin:2rem;max-width:75rem}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.2rem .5rem;text-align:left}</style>"
)


def _touched(rows: Iterable[Touched]) -> Iterable[Sequence[object]]:
    for row in rows:
        who = (row.sub_digest or "(unknown)")[:16]
        where = (row.client_id, row.audience, row.resource, row.reporter, row.kid)
        times = (_time(row.first_at), _time(row.last_at))
        yield [row.tenant, who, *where, row.accepted, row.refused, *times]


def _gap(gap: Missing) -> Sequence[object]:
    return [gap.kind, gap.about, gap.detail, gap.count]


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


def _picture(found: Scope) -> str:
    """Forged uses over the time from the first to the last of them, as an SVG drawing true to scale."""
    hours = found.hours
    if not hours:
        return "<p>No forged token was presented in this time.</p>"
    begin, end = min(hour.at for hour in hours), max(hour.at for hour in hours) + HOUR
    each = HOUR * math.ceil((end - begin) / HOUR / BARS)
    bars = max(1, math.ceil((end - begin) / each))
    uses = _counted(hours, begin, each)
    most, step = max(uses.values()), WIDTH / bars
    drawn = [
        _bar(number * step, step, count / most, f"{_time(begin + number * each)}: {count}")
        for number, count in sorted(uses.items())
    ]
    ticks = [_tick(begin + (end - begin) * part / TICKS, WIDTH * part / TICKS) for part in range(TICKS + 1)]
    label = (
        f"Forged uses, {_time(begin)} to {_time(end)}; a bar is {each / HOUR:.0f} h, the highest {most} uses"
    )
    size = f'width="{WIDTH}" height="{HEIGHT + 20}" viewBox="0 0 {WIDTH} {HEIGHT + 20}"'
    axis = f'<line x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}" stroke="#666"/>'
    head = f'<svg role="img" aria-label="{label}" {size}>'
    return f"<figure>{head}{axis}{''.join([*drawn, *ticks])}</svg><figcaption>{label}</figcaption></figure>"


def _counted(hours: Sequence[Hour], begin: float, each: float) -> dict[int, int]:
    """Uses by the number of the bar."""
    uses: dict[int, int] = {}
    for hour in hours:
        number = int((hour.at - begin) // each)
        uses[number] = uses.get(number, 0) + hour.uses
    return uses


def _bar(left: float, width: float, share: float, title: str) -> str:
    height = max(1, round(HEIGHT * share))
    place = f'x="{left:.1f}" y="{HEIGHT - height}" width="{max(1.0, width - GAP):.1f}" height="{height}"'
    return f'<rect {place} fill="#b00"><title>{title}</title></rect>'


def _tick(at: float, left: float) -> str:
    anchor = "start" if left == 0 else "end" if left == WIDTH else "middle"
    style = f'text-anchor="{anchor}" font-size="11" fill="#666"'
    return f'<text x="{left:.0f}" y="{HEIGHT + 14}" {style}>{_time(at)[:16]}</text>'


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
