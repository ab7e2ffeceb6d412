"""The outcome on a terminal: with rich, where it is installed, one coloured table for each relying party.

May never say less than the plain text does, and may never need rich.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from sealwright_validate.conformance.grade import Column, Grade, Table
from sealwright_validate.conformance.render.text import as_text, not_right

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_STYLES = {Grade.RIGHT: "green", Grade.WEAK: "yellow", Grade.WRONG: "bold red", Grade.NOT_APPLICABLE: "dim"}
_BAR = 24  # characters


def show(table: Table, out: TextIO) -> None:
    """Write the outcome: tables to a terminal if rich is there, plain text otherwise."""
    if out.isatty() and find_spec("rich") is not None:
        from rich.console import Console

        draw(table, Console(file=out))
    else:
        out.write(as_text(table))


def draw(table: Table, console: "Console") -> None:
    """One table for each relying party, then what was wrong and what was absent."""
    from rich.text import Text

    for column in table.columns:
        console.print(_of_party(table, column))
        for case in not_right(table, column, Grade.WRONG):
            verdict = column.said[case.name].verdict
            console.print(Text.assemble((f"{verdict:<9} ", "bold red"), (case.name, "bold"), f": {case.how}"))
    for name, why in table.absent.items():
        console.print(Text(f"absent: {name}: {why}", style="dim"))


def _of_party(table: Table, column: Column) -> "RichTable":
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=Text(column.title), title_justify="left", title_style="bold")
    drawn.add_column("group")
    for grade in Grade:
        drawn.add_column(grade.value, justify="right", style=_STYLES[grade])
    drawn.add_column("")
    groups = {**table.groups, "all": list(table.cases)}
    for name, cases in groups.items():
        if name == "all":
            drawn.add_section()
        counts = {grade: column.count(grade, cases) for grade in Grade}
        bar = Text()
        for grade in (Grade.RIGHT, Grade.WEAK, Grade.WRONG):
            least = 1 if counts[grade] else 0  # what is there is seen
            bar.append("█" * max(least, round(_BAR * counts[grade] / len(cases))), style=_STYLES[grade])
        drawn.add_row(name, *(str(counts[grade]) if counts[grade] else "" for grade in Grade), bar)
    return drawn
