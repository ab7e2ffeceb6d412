"""How a monitor shows what it sees: a live table on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sealwright.cli.output import console, counted, moment, table, write_json_line
from sealwright.monitor.model import Alarm, Report

SHOWN_ALARMS = 12
PROGRESS_STEP = 65_536
"""Leaves between two changes of the table while a log is read."""


class View(Protocol):
    """Where a monitor's rounds go."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def progress(self, log_id: str, done: int, size: int) -> None:
        """A log has been read so far."""
        ...

    def show(self, new: Sequence[Alarm], report: Report) -> None:
        """A round is over."""
        ...


class JsonView:
    """One JSON object a line for each new alarm."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def progress(self, log_id: str, done: int, size: int) -> None:
        """Programs are not told of progress."""

    def show(self, new: Sequence[Alarm], report: Report) -> None:  # noqa: ARG002 - the protocol's
        """Each new alarm."""
        for alarm in new:
            write_json_line(msgspec.to_builtins(alarm))


class PlainView:
    """One line for each new alarm, and one at the start."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._told = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def progress(self, log_id: str, done: int, size: int) -> None:
        """Nobody watches."""

    def show(self, new: Sequence[Alarm], report: Report) -> None:
        """Each new alarm."""
        if not self._told and not self._quiet:
            sys.stdout.write(summary(report) + "\n")
            self._told = True
        for alarm in new:
            sys.stdout.write(line(alarm) + "\n")
        sys.stdout.flush()


class LiveView:
    """A table that is drawn anew with each round."""

    def __init__(self, to: Console) -> None:
        self._live = Live(Text("reading …"), console=to, auto_refresh=False)
        self._report: Report | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._live.__exit__(kind, error, trace)

    def progress(self, log_id: str, done: int, size: int) -> None:
        """Say how far a long log is."""
        if done % PROGRESS_STEP == 0:
            text = Text(f"reading {log_id}: {done:,} of {size:,} leaves")
            self._live.update(Group(logs_table(self._report), text) if self._report else text, refresh=True)

    def show(self, new: Sequence[Alarm], report: Report) -> None:  # noqa: ARG002 - all that stand are shown
        """The logs and the alarms that stand."""
        self._report = report
        alarms = [Text(line(alarm), style="red") for alarm in report.alarms[-SHOWN_ALARMS:]]
        self._live.update(Group(logs_table(report), *alarms, Text(summary(report))), refresh=True)


def logs_table(report: Report) -> Table:
    """One row a log."""
    shown = table("log", "evidence", "signed", "verified", "state")
    for log in report.logs:
        good = log.state in {"ok", "final", "empty"}
        shown.add_row(
            log.log_id,
            log.evidence,
            f"{log.size:,}",
            f"{log.verified:,}",
            Text(log.state, "green" if good else "red"),
        )
    return shown


def line(alarm: Alarm) -> str:
    """An alarm for people."""
    where = f" {alarm.log_id}" if alarm.log_id else ""
    index = f" leaf {alarm.index}" if alarm.index is not None else ""
    return f"{moment(alarm.at)} {alarm.code}{where}{index}: {alarm.detail}"


def summary(report: Report) -> str:
    """What was read, in one line."""
    tally = report.tally
    verdict = "no alarm" if report.sound else counted(len(report.alarms), "alarm")
    logs, leaves = counted(len(report.logs), "log"), counted(tally.leaves, "leaf", "leaves")
    return f"{verdict}: {logs}, {leaves} ({counted(tally.tokens, 'token')}) read in {report.seconds:.1f} s"


def print_report(report: Report) -> None:
    """The report of a single run, for people."""
    to = console()
    to.print(logs_table(report))
    for alarm in report.alarms:
        to.print(Text(line(alarm), style="red"))
    to.print(Text(summary(report), style="green" if report.sound else "red"))


def as_document(report: Report) -> dict[str, Any]:
    """The report for programs (docs/formats/monitor.md)."""
    return {
        "sound": report.sound,
        "logs": report.logs,
        "leaves": report.tally.leaves,
        "tokens": report.tally.tokens,
        "bytes": report.tally.bytes,
        "seconds": round(report.seconds, 3),
        "alarms": report.alarms,
    }
