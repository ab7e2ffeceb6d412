"""`sealwright ledger fsck`: reads the whole ledger again, names what is wrong, rebuilds what can be derived.

Checking changes nothing. `--repair` prints what it would rebuild, and does it only with `--apply` while
nothing else runs on the state directory.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, counted, write_json
from sealwright.errors import Misconfigured
from sealwright.ledger.fsck import Progress as Told
from sealwright.ledger.fsck import Report
from sealwright.ledger.repair import Step
from sealwright.supervisor.lock import StateLock
from sealwright.wiring.inspect import Inspection, inspect

CAUSES = frozenset({"leaf_missing", "malformed_leaf", "record_digest", "root_mismatch", "stored_checkpoint"})
"""Codes of what is wrong with leaves and heads: said before what follows from it in the files."""
MAX_SHOWN = 20
"""Steps of one kind that are printed; the rest is counted."""
Repair = Annotated[bool, typer.Option("--repair", help="Rebuild what can be derived from what is sound.")]


def fsck(
    *,
    repair: Repair = False,
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Read the whole ledger again and name what is wrong, down to the leaf. Exit status 1 when anything
    is.
    """
    settings = configured(config, state)
    opened = inspect(settings)
    if repair:
        lock = StateLock(settings.state.path / "run" / "up.pid") if apply else contextlib.nullcontext()
        with lock:
            _repair(opened, apply=apply)
        if not apply:
            return
    with _bar() as told:
        report = opened.fsck(told)
    if as_json:
        write_json(msgspec.to_builtins(report) | {"sound": report.sound})
    else:
        _show(report)
    raise typer.Exit(0 if report.sound else 1)


def _show(report: Report) -> None:
    to = console()
    tokens, files = counted(report.tokens, "token"), counted(report.files, "file")
    read = f"{counted(report.logs, 'log')}, {counted(report.leaves, 'leaf', 'leaves')} ({tokens}), {files}"
    to.print(f"[green]sound[/]: {read}" if report.sound else f"[red]damaged[/]: {read}")
    for damage in sorted(report.damages, key=lambda found: found.code not in CAUSES):
        leaf = "" if damage.index is None else f" leaf {damage.index}"
        byte = "" if damage.byte is None else f" byte {damage.byte}"
        where = f"{damage.log_id or damage.where}{leaf}"
        to.print(f"  {where}: {damage.message} [dim]({damage.code}, {damage.where}{byte})[/]")


def _repair(opened: Inspection, *, apply: bool) -> None:
    steps = opened.repair()
    for step in steps[:MAX_SHOWN]:
        verb = ("rebuilt" if apply else "would rebuild") if step.possible else "cannot be derived:"
        if apply:
            _do(step)
        sys.stdout.write(f"{verb} {step.what}" + (f" (log {step.log_id})\n" if step.log_id else "\n"))
    if apply:
        for step in steps[MAX_SHOWN:]:
            _do(step)
    if len(steps) > MAX_SHOWN:
        sys.stdout.write(f"and {len(steps) - MAX_SHOWN} more\n")
    if not steps:
        sys.stdout.write("nothing to rebuild\n")
    elif not apply:
        sys.stdout.write("nothing was changed; do it with --apply\n")


def _do(step: Step) -> None:
    try:
        step.do()
    except OSError as error:
        where = f"{step.where} of log {step.log_id}" if step.log_id else step.where
        raise Misconfigured("cannot_write", f"{where} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _bar() -> Iterator[Told]:
    """A progress bar on standard error, where somebody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    to = Console(stderr=True)
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as progress:
        tasks = {}

        def told(log_id: str, done: int, total: int) -> None:
            if log_id not in tasks:
                tasks[log_id] = progress.add_task(log_id, total=total)
            progress.update(tasks[log_id], completed=done)

        yield told
