"""`sweep`: credentials in source trees, home folders, image tars and logs; for CI and as a pre-commit hook.

Exit status: 0 nothing (or all allowed), 1 found, 3 something could not be scanned, or nothing was there. May
never do: exit 0 with a finding that nobody has judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from sealwright_dumps import clock, report
from sealwright_dumps.access import StreamAccess
from sealwright_dumps.cli import exits
from sealwright_dumps.cli.scan import Bar, add_detector_options, settings_from
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.examine import Examiner
from sealwright_dumps.model import Confidence, Finding, ObjectReport, ScanReport, Status
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Scanner, Settings
from sealwright_dumps.sweep import allow, staged

SKIP = frozenset({".git"})
_HISTORY = "for what it remembers: git log -p --all | sealwright-dumps sweep -"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "sweep", help="find credentials where they should not lie", description=__doc__
    )
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--staged", action="store_true", help="what git has staged, for a pre-commit hook")
    parser.add_argument("--allow", metavar="FILE", help="allow-list with reasons and end dates")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_detector_options(parser)
    parser.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    if bool(options.paths) == options.staged:
        raise Misconfigured("usage", "name paths or --staged")
    today = clock.now().date()
    listed = allow.load(Path(options.allow), today) if options.allow else allow.AllowList()
    settings = settings_from(options)
    left_out: list[Path] = []
    if options.staged:
        found = _staged(settings)
    else:
        bar = Bar(quiet=options.quiet)
        found = Run(settings, bar.add).scan(options.paths, SKIP, left_out.append)
        bar.clear()
    kept = without_allowed(found, listed, today)
    if options.json:
        text = report.to_json(kept) + "\n"
    else:
        text = report.to_sarif(kept) + "\n" if options.sarif else report.to_text(kept)
    sys.stdout.write(text)
    for entry in listed.expired(today):
        sys.stderr.write(
            f"sealwright-dumps: expired {entry.expires}: {entry.kind} {entry.path or entry.key_id}\n"
        )
    for path in left_out:
        sys.stderr.write(f"sealwright-dumps: left out: {str(path)!r}; {_HISTORY}\n")
    nothing = not options.staged and not any(item.bytes_read or item.bytes_sparse for item in kept.objects)
    return exits.NOT_SCANNABLE if nothing else status_of(kept)


def _staged(settings: Settings) -> ScanReport:
    began = clock.monotonic()
    examiner = Examiner(Scanner(settings))
    reports = [_examine(examiner, file, settings.window) for file in staged.files()]
    return ScanReport(examiner.scanner.engine, tuple(reports), clock.monotonic() - began)


def _examine(examiner: Examiner, file: staged.Staged, window: int) -> ObjectReport:
    def pieces() -> Iterator[bytes]:
        yield file.data

    return examiner.stream(file.path, StreamAccess(pieces, window))


def without_allowed(found: ScanReport, listed: allow.AllowList, today: date) -> ScanReport:
    """The report without what the allow-list permits today."""

    def left(item: ObjectReport) -> tuple[Finding, ...]:
        return tuple(f for f in item.findings if not listed.permits(item.path, f, today))

    objects = tuple(_with(item, left(item)) for item in found.objects)
    return ScanReport(found.engine, objects, found.seconds, found.skipped_detectors)


def _with(item: ObjectReport, findings: tuple[Finding, ...]) -> ObjectReport:
    return replace(item, findings=findings)


def status_of(kept: ScanReport) -> int:
    """The exit status: a finding that is more than possible outweighs what could not be scanned."""
    if any(finding.confidence is not Confidence.POSSIBLE for _, finding in kept.findings):
        return exits.FOUND
    unread = any(item.status is Status.NOT_SCANNABLE for item in kept.objects)
    return exits.NOT_SCANNABLE if unread else exits.OK
