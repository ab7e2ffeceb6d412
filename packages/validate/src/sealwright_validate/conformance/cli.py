"""The command `sealwright-validate conformance`: runs the suite and writes its outcome.

Exit status 0 only if no target gave a wrong verdict. May never write a token or a key.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from sealwright_validate.conformance.grade import Grade, Table
from sealwright_validate.conformance.render.html import as_html
from sealwright_validate.conformance.render.machine import as_json, as_junit
from sealwright_validate.conformance.render.terminal import show
from sealwright_validate.conformance.render.text import as_markdown
from sealwright_validate.conformance.run import BUILT_IN, Options, run
from sealwright_validate.conformance.targets.model import Setup
from sealwright_validate.conformance.targets.ours import OUR_NAME

WRONG: Final = 1
ABSENT: Final = 3
_FORMATS: Final = {"html": as_html, "junit": as_junit, "json": as_json, "markdown": as_markdown}


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    command.add_argument(
        "--target",
        action="append",
        metavar="NAME|URL",
        help=f"{', '.join(BUILT_IN)}, or the address of a service; may be repeated (default: ours)",
    )
    command.add_argument("--all", action="store_true", help="every built-in target")
    command.add_argument(
        "--profile",
        choices=("plain", "sealwright"),
        default="plain",
        help="what a service at a URL trusts: a plain key set, or the key manifest",
    )
    command.add_argument(
        "--listen", type=int, default=0, metavar="PORT", help="port of the suite's issuer on 127.0.0.1"
    )
    command.add_argument(
        "--ready", type=float, default=30.0, metavar="SECONDS", help="how long to wait for a service"
    )
    command.add_argument(
        "--root-out", metavar="FILE", help="write the pinned root here before services are waited for"
    )
    command.add_argument("--node", default=".", metavar="DIR", help="folder in which npm put jose")
    command.add_argument("--java", default=".", metavar="DIR", help="folder in which Maven put Spring's jars")
    command.add_argument(
        "--tolerate-others", action="store_true", help="let only ours decide the exit status"
    )
    for name in _FORMATS:
        command.add_argument(f"--{name}", metavar="FILE", help=f"write the outcome as {name}")
    command.set_defaults(run=conformance)


def conformance(options: argparse.Namespace) -> int:
    """Run the suite."""
    targets = list(BUILT_IN) if options.all else list(options.target or ["ours"])
    services = any("://" in name for name in targets)
    table = run(
        targets,
        Options(
            port=options.listen,
            node_folder=Path(options.node),
            java_folder=Path(options.java),
            knows_manifest=options.profile == "sealwright",
            ready_within=options.ready,
            announce=(lambda setup: _announce(setup, options)) if services or options.root_out else None,
        ),
    )
    show(table, sys.stdout)
    for name, render in _FORMATS.items():
        file = getattr(options, name)
        if file:
            Path(file).write_text(render(table), encoding="utf-8")
    return _status(table, ours_only=options.tolerate_others)


def _status(table: Table, *, ours_only: bool) -> int:
    judged = [column for column in table.columns if column.name.startswith(OUR_NAME) or not ours_only]
    if any(column.count(Grade.WRONG, table.cases) for column in judged):
        return WRONG
    return ABSENT if table.absent or not judged else 0


def _announce(setup: Setup, options: argparse.Namespace) -> None:
    if options.root_out:
        Path(options.root_out).write_bytes(setup.root)
    sys.stdout.write(
        f"issuer    {setup.issuer}\njwks_uri  {setup.jwks_uri}\naudience  {setup.audience}\n"
        f"typ       {setup.token_type}\nrealm     {setup.realm}\n"
        f"manifest  {setup.issuer.rpartition('/')[0]}/manifest (if it trusts a Sealwright)\n"
    )
    sys.stdout.flush()
