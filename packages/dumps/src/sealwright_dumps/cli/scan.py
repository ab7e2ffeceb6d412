"""`scan`: find key material in files, folders, block devices and standard input.

May never do: exit with success when nothing was read, or print a secret.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from sealwright_dumps import clock, report
from sealwright_dumps.cli import exits
from sealwright_dumps.model import ScanReport, Status
from sealwright_dumps.resume import journal, no_state
from sealwright_dumps.run import Run
from sealwright_dumps.scanner import Settings
from sealwright_dumps.sieve import available

MOST_WORKERS = 256
_REDRAW = 0.2
_MEGA = 1e6


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what to look for, shared by scan, redact, gate and sweep."""
    parser.add_argument(
        "--fingerprints", action="append", default=[], metavar="FILE", help="fingerprints of own keys"
    )
    parser.add_argument(
        "--public-key",
        action="append",
        default=[],
        metavar="FILE",
        help="public key or certificate whose key to find",
    )
    parser.add_argument("--exhaustive", action="store_true", help="also look at unaligned and costly places")
    parser.add_argument(
        "--engine", choices=available(), default="", help="literal engine (default: the fastest)"
    )
    parser.add_argument(
        "--workers", type=workers, default=0, metavar="N", help="processes (default: one per processor)"
    )


def workers(text: str) -> int:
    """A number of processes."""
    count = int(text)
    if not 1 <= count <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"1 to {MOST_WORKERS}")
    return count


def settings_from(options: argparse.Namespace) -> Settings:
    """The settings that these options ask for."""
    return Settings(
        engine=options.engine,
        credentials=not getattr(options, "keys_only", False),
        exhaustive=options.exhaustive,
        fingerprints=tuple(options.fingerprints),
        public_keys=tuple(options.public_key),
        workers=options.workers,
    )


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("scan", help="find key material", description=__doc__)
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="file, folder, block device, or - for standard input"
    )
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print one JSON object")
    printed.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0")
    parser.add_argument("--fail-on-finding", action="store_true", help="exit 1 when something is found")
    parser.add_argument("--keys-only", action="store_true", help="keys, not tokens and passwords")
    parser.add_argument("--state", metavar="FILE", help="journal that lets an interrupted scan go on")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_detector_options(parser)
    parser.set_defaults(command=command)


class Bar:
    """A progress line on a terminal's standard error: bytes and MB/s."""

    def __init__(self, *, quiet: bool) -> None:
        self._show = sys.stderr.isatty() and not quiet
        self._began = self._drawn = clock.monotonic()
        self._count = 0

    def add(self, count: int) -> None:
        """`count` bytes more."""
        self._count += count
        now = clock.monotonic()
        if self._show and now - self._drawn > _REDRAW:
            self._drawn = now
            rate = self._count / _MEGA / (now - self._began)
            sys.stderr.write(f"\r\x1b[K{self._count / _MEGA:,.0f} MB  {rate:,.0f} MB/s")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._show:
            sys.stderr.write("\r\x1b[K")


def command(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    settings = settings_from(options)
    bar = Bar(quiet=options.quiet)
    keeper = journal(Path(options.state), settings) if options.state else contextlib.nullcontext(no_state())
    with keeper as state:
        result = Run(settings, bar.add, state).scan(options.paths)
    bar.clear()
    if options.json:
        text = report.to_json(result) + "\n"
    else:
        text = report.to_sarif(result) + "\n" if options.sarif else report.to_text(result)
    sys.stdout.write(text)
    if result.engine == "stdlib" and not options.engine:
        sys.stderr.write("sealwright-dumps: the extra `fast` makes this about a hundred times faster\n")
    return status_of(result, fail_on_finding=options.fail_on_finding)


def status_of(result: ScanReport, *, fail_on_finding: bool) -> int:
    """The exit status of a scan: what could not be scanned, wholly or at all, outweighs what was found. A
    scan of nothing is not a clean one.
    """
    nothing = not any(item.bytes_read or item.bytes_sparse for item in result.objects)
    if nothing or any(item.status is not Status.SCANNED for item in result.objects):
        return exits.NOT_SCANNABLE
    return exits.FOUND if fail_on_finding and result.findings else exits.OK
