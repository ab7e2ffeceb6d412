"""`drill`: attack a sandbox gate on purpose; a verdict for every control.

May never do: exit 0 when a control did not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from sealwright_dumps.cli import exits
from sealwright_dumps.drill.attacks import CONTROLS, run, to_json


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("drill", help="attack a sandbox gate on purpose", description=__doc__)
    parser.add_argument("--disable-control", action="append", default=[], choices=CONTROLS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    with tempfile.TemporaryDirectory() as name:
        verdicts = run(Path(name), frozenset(options.disable_control))
    if options.json:
        sys.stdout.write(to_json(verdicts) + "\n")
    else:
        for v in verdicts:
            sys.stdout.write(f"{'held  ' if v.held else 'FAILED'}  {v.control:18} {v.attack}: {v.detail}\n")
    return exits.OK if all(v.held for v in verdicts) else exits.FOUND
