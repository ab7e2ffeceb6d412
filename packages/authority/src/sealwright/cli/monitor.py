"""`sealwright monitor`: reads a Sealwright's whole ledger from outside and says what does not fit."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.monitor_view import JsonView, LiveView, PlainView, View, as_document, print_report
from sealwright.cli.output import console, write_json
from sealwright.cli.policies import read_policy
from sealwright.errors import Misconfigured
from sealwright.ledger.follow import Follower, fetch_from, finder
from sealwright.monitor.model import Code
from sealwright.monitor.service import Monitor, Rules
from sealwright.monitor.state import StateFile
from sealwright.monitor.witnesses import Witnesses
from sealwright_validate import errors as validate_errors

POLL = 1.0
"""Seconds between rounds while something is pending in a single run."""
UNREADABLE = 2

Root = Annotated[Path, typer.Option("--root", help="The pinned root document.")]
State = Annotated[Path | None, typer.Option("--state", help="Remember what was seen in this directory.")]
Pinned = Annotated[Path | None, typer.Option("--witnesses", help="tlog-policy file; check its quorum.")]
Realms = Annotated[list[str] | None, typer.Option("--realm", help="Realms that keys may be for.")]
Every = Annotated[float, typer.Option("--every", min=0.2, help="Seconds between rounds.")]
Grace = Annotated[float, typer.Option("--grace", min=0, help="Seconds that a passing thing may last.")]
Quiet = Annotated[float, typer.Option("--quiet-after", min=1, help="Seconds until an open log is stopped.")]
ReadAgain = Annotated[int, typer.Option("--again", min=0, help="Bundles of each log read again in a round.")]
Once = Annotated[bool, typer.Option("--once", help="Read everything once, report and end.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, an object for each alarm or the report.")]


def command(  # noqa: PLR0913 - options of a program
    url: Annotated[str, typer.Argument(metavar="URL", help="The authority.")],
    *,
    root: Root,
    state: State = None,
    witnesses: Pinned = None,
    realm: Realms = None,
    every: Every = 5.0,
    grace: Grace = 30.0,
    quiet_after: Quiet = 43_200.0,
    again: ReadAgain = 8,
    once: Once = False,
    as_json: AsJson = False,
) -> None:
    """Follow every log of a Sealwright: verify all of it, and raise an alarm on what does not fit."""
    rules = Rules(grace=grace, quiet_after=quiet_after, realms=tuple(realm or ()), again=again)
    monitor = opened(url, root, state, witnesses, rules)
    try:
        if once:
            raise typer.Exit(_once(monitor, as_json=as_json))
        _follow(monitor, every, _view(as_json=as_json))
    finally:
        monitor.close()


def opened(url: str, root: Path, state: Path | None, policy: Path | None, rules: Rules) -> Monitor:
    """A monitor of one authority.

    Raises:
        Misconfigured: a file cannot be used.
    """
    try:
        pinned = root.read_bytes()
        kept = StateFile(state) if state else None
        follower = Follower(fetch_from(url), pinned, state_file=kept.trust if kept else None)
        checked = Witnesses(read_policy(policy), _reach) if policy else None
    except OSError as error:
        raise Misconfigured("no_root", f"the root document {root} cannot be read") from error
    except validate_errors.Misconfigured as error:
        raise Misconfigured("monitor", str(error)) from error
    return Monitor(follower, rules, state=kept, witnesses=checked)


def _reach(url: str) -> Callable[[str], bytes | None]:
    return finder(fetch_from(url))


def _once(monitor: Monitor, *, as_json: bool) -> int:
    """Read everything; the exit status."""
    with _view(quiet=as_json) as view:
        monitor.round(view.progress)
        if monitor.alarms.pending and not as_json:
            sys.stderr.write("something is not there yet: looking again until the grace is over\n")
        while monitor.alarms.pending:
            threading.Event().wait(POLL)
            monitor.round(view.progress)
    report = monitor.report()
    if as_json:
        write_json(as_document(report))
    else:
        print_report(report)
    if not report.logs and any(alarm.code is Code.UNREACHABLE for alarm in report.alarms):
        return UNREADABLE
    return 0 if report.sound else 1


def _view(*, quiet: bool = False, as_json: bool = False) -> View:
    if as_json:
        return JsonView()
    return LiveView(console()) if sys.stdout.isatty() and not quiet else PlainView(quiet=quiet)


def _follow(monitor: Monitor, every: float, view: View) -> None:
    with view:
        while True:
            view.show(monitor.round(view.progress), monitor.report())
            threading.Event().wait(every)
