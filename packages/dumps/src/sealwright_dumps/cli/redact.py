"""`redact`: write a copy of a dump that may be shown.

May never do: leave an output when anything failed, or overwrite one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sealwright_dumps.cli import exits
from sealwright_dumps.cli.scan import add_detector_options, settings_from
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.redact.service import MARGIN, Policy, redact
from sealwright_dumps.source import FileSource


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("redact", help="write a copy without keys", description=__doc__)
    parser.add_argument("input", metavar="IN")
    parser.add_argument("output", metavar="OUT", help="must not exist")
    parser.add_argument(
        "--canary",
        action="append",
        default=[],
        metavar="KEY-ID",
        help="refuse unless this key is found in IN",
    )
    parser.add_argument(
        "--margin", type=int, default=MARGIN, metavar="BYTES", help="overwritten around findings"
    )
    parser.add_argument("--largest", type=int, default=64 << 30, metavar="BYTES", help="refuse larger dumps")
    add_detector_options(parser)
    parser.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    if options.margin < 0:
        raise Misconfigured("bad-margin", "a margin is not negative")
    policy = Policy(settings_from(options), tuple(options.canary), options.largest, options.margin)
    source = FileSource(Path(options.input))
    try:
        done = redact(source, Path(options.output), policy)
    finally:
        source.close()
    sys.stdout.write(json.dumps(done.manifest, indent=1, sort_keys=True) + "\n")
    return exits.OK
