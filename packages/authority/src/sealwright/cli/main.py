"""Entry point: finds the command, runs it, turns an error of ours into one line and exit status 2.

May never show a traceback for a mistake of the operator's, and never hide one of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated

import typer

from sealwright import __version__
from sealwright.errors import SealwrightError

EX_USAGE = 2
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: where it is, what it does in one line, whether it has commands of its own."""

    module: str
    help: str
    group: bool = False
    hidden: bool = False


COMMANDS = {
    "up": Entry("up", "Start signers, authority and demo, and keep them running."),
    "restart": Entry("restart", "Replace signers and authority one by one; no request fails."),
    "doctor": Entry("doctor", "Show how well this host can isolate a signer."),
    "config": Entry("config", "Check and show the configuration.", group=True),
    "admission": Entry("admission", "Enrol TPMs, change the admission policy, revoke images.", group=True),
    "clients": Entry("clients", "List, add and disable clients.", group=True),
    "keys": Entry("keys", "Show the token keys and their states.", group=True),
    "root": Entry("root", "Change the root of trust by threshold signatures.", group=True),
    "adoption": Entry("adoption", "Show which audiences the standard validator covers."),
    "alarms": Entry("alarms", "Show alarms, and follow them as they come."),
    "audit": Entry("audit", "Show who did what and when."),
    "detections": Entry("detections", "What each detection means and asks for; Sigma rules.", group=True),
    "incidents": Entry("incidents", "Show alarms gathered into incidents, with a timeline.", group=True),
    "canaries": Entry("canaries", "Plant tokens and keys that only a thief uses.", group=True),
    "respond": Entry("respond", "Answer an incident: scope, suggestions, playbook, notices.", group=True),
    "lab": Entry("lab", "Make a world with hidden attacks; score the detections on it.", group=True),
    "ledger": Entry("ledger", "Check the ledger and look things up in it.", group=True),
    "witness": Entry("witness", "Cosign the trees of logs, and refuse a second version of any."),
    "monitor": Entry("monitor", "Read the whole ledger from outside; say what does not fit."),
    "drill": Entry("drill", "Attack a sandbox on purpose; see if every control holds.", group=True),
    "version": Entry("version", "Print the versions of what is installed."),
    "authority": Entry("authority", "Run the authority process (started by `up`).", hidden=True),
    "demo-rp": Entry("demo_rp", "Run a demo mail API (started by `up`).", hidden=True),
}
LEAVES = {
    "signer": "Serve a signer to another host (sealwright-signer-host).",
    "validate": "Validate tokens (the program sealwright-validate).",
    "attest": "Appraise attestation evidence (sealwright-attest).",
    "dumps": "Find and remove keys in crash dumps (sealwright-dumps).",
}

PROGRAMS = {"signer": "sealwright-signer-host"}
"""Programs that are not named after their leaf."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process when None.

    Returns:
        The exit status: 0 done, 1 a check found something, 2 a mistake in usage or configuration.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    asked = arguments[0] if arguments else ""
    try:
        if asked in LEAVES:
            return _leaf(asked, arguments[1:])
        application(asked)(arguments, prog_name="sealwright")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EX_USAGE
    except SealwrightError as error:
        sys.stderr.write(f"sealwright: {error.public}\n")
        if error.detail and error.code == "part_failed":
            sys.stderr.write(f"{error.detail}\n")
        return EX_USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    return 0


def application(asked: str) -> typer.Typer:
    """The program with one command loaded; the others are known by name and help only."""
    app = typer.Typer(
        name="sealwright",
        help="A token-signing authority that stays trustworthy when something has already gone wrong.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for name, entry in COMMANDS.items():
        if name == asked:
            module = import_module(f"sealwright.cli.{entry.module}")
            if entry.group:
                app.add_typer(module.app, name=name, help=entry.help)
            else:
                app.command(name, help=module.command.__doc__, hidden=entry.hidden)(module.command)
        else:
            app.command(name, help=entry.help, hidden=entry.hidden)(_not_loaded)
    for name, text in LEAVES.items():
        app.command(name, help=text)(_not_loaded)
    return app


def _not_loaded() -> None:
    """Stands for a command that was not asked for; it cannot be reached."""


def _say_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        sys.stdout.write(f"sealwright {__version__}\n")
        raise typer.Exit


def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself."""


def _leaf(name: str, arguments: list[str]) -> int:
    """Run the leaf's own program as if it had been called by its own name."""
    program = PROGRAMS.get(name, f"sealwright-{name}")
    found = entry_points(group="console_scripts", name=program)
    if not found:
        sys.stderr.write(f"sealwright: {program} is not installed\n")
        return EX_USAGE
    ours, sys.argv = sys.argv, [program, *arguments]
    try:
        status = next(iter(found)).load()()
    finally:
        sys.argv = ours
    return status if isinstance(status, int) else 0
