"""`verify`: check that a file is what a gate released. May never do: take the key from the manifest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sealwright_dumps.cli import exits
from sealwright_dumps.errors import Misconfigured
from sealwright_dumps.gate.verify import require_released


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("verify", help="check a released dump and its manifest", description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--manifest", metavar="FILE", help="default: FILE's, beside it")
    parser.add_argument("--gate-public-key", required=True, metavar="BASE64")
    parser.add_argument(
        "--approver", action="append", default=[], metavar="NAME=BASE64", help="whose approval must be in it"
    )
    parser.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    path = Path(options.file)
    beside = path.with_name(f"{path.stem}.manifest.json")
    approvers: dict[str, str] = {}
    for item in options.approver:
        name, separator, key = item.partition("=")
        if not separator:
            raise Misconfigured("bad-approver", "an approver is NAME=BASE64")
        approvers[name] = key
    manifest_path = Path(options.manifest) if options.manifest else beside
    manifest = require_released(path, manifest_path, options.gate_public_key, approvers)
    sys.stdout.write(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return exits.OK
