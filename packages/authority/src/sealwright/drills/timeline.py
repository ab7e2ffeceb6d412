"""Shows a drill as a timeline that a person enjoys reading."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sealwright.drills.model import Drill, DrillResult, StepResult


class Timeline:
    """Prints each outcome as it comes, and the verdict at the end."""

    def __init__(self, console: Console, drill: Drill, disabled: Collection[str]) -> None:
        self._console = console
        self._titles = drill.titles
        self._chapter = ""
        self._elapsed = 0.0
        console.print(Panel(drill.shows, title=f"drill {drill.name}", border_style="cyan"))
        if disabled:
            off = ", ".join(sorted(disabled))
            console.print(f"[yellow]switched off in this sandbox:[/yellow] {off}")
        console.print(f"[dim]{drill.scene}[/dim]")

    def show(self, result: StepResult) -> None:
        """One outcome."""
        finding = result.finding
        self._elapsed += result.seconds
        chapter = finding.step.split("-")[0]
        if chapter != self._chapter:
            self._chapter = chapter
            self._console.print(f"\n[bold cyan]{self._titles.get(chapter, finding.step)}[/bold cyan]")
        mark = Text("✔ held  ", "bold green") if finding.held else Text("✘ FAILED", "bold red")
        if finding.control is None:
            mark = Text("• shown ", "blue") if finding.held else Text("✘ FAILED", "bold red")
        line = Table.grid(padding=(0, 1))
        line.add_column(width=7, justify="right", style="dim")
        line.add_column(width=8)
        line.add_column()
        line.add_row(f"{self._elapsed:5.1f} s", mark, finding.attack)
        outcome = f"[green]{finding.observed}[/green]" if finding.held else f"[red]{finding.observed}[/red]"
        wanted = "" if finding.held else f"  (expected: {finding.expected})"
        control = f"[dim]{finding.control}[/dim]  " if finding.control else ""
        line.add_row("", "", f"{control}→ {outcome}{wanted}")
        self._console.print(line)

    def close(self, result: DrillResult) -> None:
        """The verdict."""
        failed = [step.finding.step for step in result.steps if not step.finding.held]
        if result.held:
            text = f"every control held: {len(result.steps)} outcomes in {self._elapsed:.1f} s"
            self._console.print(Panel(text, border_style="green"))
        else:
            self._console.print(Panel("did not hold: " + ", ".join(failed), border_style="red"))
