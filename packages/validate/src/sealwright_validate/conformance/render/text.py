"""The outcome as text for a terminal and as Markdown for a page. May never leave a wrong verdict out."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from sealwright_validate.conformance.case import Case
from sealwright_validate.conformance.grade import Column, Grade, Table

_PREFACE: Final = """# Conformance of token validators

Made by `make conformance` on {made_at}; do not edit. {cases} named tokens of a throw-away issuer were put to
each validator. How each token was made: [vectors](../vectors/README.md); the same for any service of yours:
[below](#your-own-service).

The key set is like the one of 2023: it holds the keys of two issuers, each key says in `issuer` whom it
belongs to, and one of them has a certificate that ended years ago. No specification tells a library to look
at either, so `key_of_other_realm` and `key_outside_window` pass everywhere but here: they are Storm-0558.
Each library was used as its documentation shows for access tokens of an OpenID provider, with issuer,
audience, algorithms, required claims and (where it has an option) the type.

*Wrong* is against a specification, or an authentication bypass. *Weak* is against best practice (RFC 8725,
RFC 9068, RFC 9700), or a refusal by a fault that a caller would not expect. What only a key manifest tells
does not count for those that do not read one.

## Your own service

```
sealwright-validate conformance --target http://127.0.0.1:8080/inbox --listen 9900 --ready 120
```

prints an issuer, a `jwks_uri` and an audience; configure your service with them, and it is driven as soon as
it accepts a good token. 2xx counts as accepted, 400, 401 and 403 as refused. `--html`, `--junit`, `--json`
and `--markdown` write the outcome; the exit status is 1 for any wrong verdict. `--profile sealwright` is for
services that trust the key manifest.

## Summary
"""


def summary_rows(table: Table) -> Iterator[list[str]]:
    """One row a group and one for all: right of applicable, and what is not right."""
    yield ["group", *(column.title for column in table.columns)]
    for group, cases in table.groups.items():
        yield [f"{group} ({len(cases)})", *(_tally(column, cases) for column in table.columns)]
    yield [f"all ({len(table.cases)})", *(_tally(column, table.cases) for column in table.columns)]


def _tally(column: Column, cases: Sequence[Case]) -> str:
    wrong, weak = column.count(Grade.WRONG, cases), column.count(Grade.WEAK, cases)
    applicable = len(cases) - column.count(Grade.NOT_APPLICABLE, cases)
    if not applicable:
        return "n/a"
    parts = [f"{applicable - wrong - weak}/{applicable}"]
    parts += [f"{wrong} wrong"] if wrong else []
    parts += [f"{weak} weak"] if weak else []
    return ", ".join(parts)


def not_right(table: Table, column: Column, grade: Grade) -> list[Case]:
    """The cases of one grade."""
    return [case for case in table.cases if column.grades[case.name] is grade]


def as_text(table: Table) -> str:
    """The summary and every wrong verdict, for a terminal."""
    rows = list(summary_rows(table))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    for column in table.columns:
        wrong = not_right(table, column, Grade.WRONG)
        lines += ["", f"{column.title}: {len(wrong)} wrong"] if wrong else []
        lines += [f"  {column.said[case.name].verdict:<9} {case.name}: {case.how}" for case in wrong]
    lines += [f"\nabsent: {name}: {why}" for name, why in table.absent.items()]
    return "\n".join(lines) + "\n"


def as_markdown(table: Table) -> str:
    """The page: what was done, the summary, and what each target did not get right."""
    first, *rest = summary_rows(table)
    made_at = datetime.fromtimestamp(table.made_at, UTC).strftime("%Y-%m-%d")
    lines = [_PREFACE.format(cases=len(table.cases), made_at=made_at)]
    lines += [_row(first), "|" + "---|" * len(first), *map(_row, rest)]
    for column in table.columns:
        wrong, weak = (not_right(table, column, grade) for grade in (Grade.WRONG, Grade.WEAK))
        lines += ["", f"## {column.title}", ""]
        if not wrong and not weak:
            lines.append("Everything as named.")
        if wrong:
            lines += ["| wrong | it | how the token was made | rule |", "|---|---|---|---|"]
            lines += [
                _row([f"`{case.name}`", column.said[case.name].verdict, _plain(case.how), case.why])
                for case in wrong
            ]
        if weak:
            lines += ["", "Weak: " + ", ".join(f"`{case.name}`" for case in weak) + "."]
    lines += [f"\nNot tried: {name} ({why})." for name, why in table.absent.items()]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
