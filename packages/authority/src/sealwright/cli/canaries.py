"""`sealwright canaries`: tokens and keys that are planted to be stolen; whoever uses one raises an alarm."""

from __future__ import annotations

import hashlib
import sys
from enum import StrEnum
from typing import Annotated

import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json
from sealwright.errors import Misconfigured

app = typer.Typer(no_args_is_help=True, help=__doc__)


class Kind(StrEnum):
    """What can be planted."""

    TOKEN = "token"  # noqa: S105 - the name of a kind
    KEY = "key"


@app.command("list")
def list_canaries(
    *, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False
) -> None:
    """List what is planted."""
    found = Admin.of(configured(config, state)).get("/admin/canaries")["canaries"]
    if as_json:
        write_json(found)
        return
    shown = table("kind", "value", "planted", "note")
    for one in found:
        shown.add_row(one["kind"], one["value"], moment(one["planted_at"]), one["note"])
    console().print(shown)


@app.command()
def plant(
    kind: Annotated[Kind, typer.Argument(help="token or key.", show_default=False)],
    value: Annotated[str, typer.Argument(help="The key's id; the token's digest, or - to read the token.")],
    *,
    note: Annotated[str, typer.Option("--note", help="Where it lies.")] = "",
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Annotated[bool, typer.Option("--apply", help="Do it.")] = False,
) -> None:
    """Register a token or key that lies where only a thief looks, and is never used."""
    if kind is Kind.TOKEN and value == "-":  # never as an argument: others see those
        token = sys.stdin.read().strip()
        if token.count(".") != 2:  # noqa: PLR2004 - RFC 7515 §7.1
            raise Misconfigured("not_a_token", "what was read is no token in three parts")
        value = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    body = {"kind": kind.value, "value": value, "note": note, "dry": not go}
    Admin.of(configured(config, state)).post("/admin/canaries", body)
    if go:
        sys.stdout.write(f"planted: {kind} {value}\n")
    else:
        sys.stdout.write(f"would raise an alarm whenever {kind} {value} is used; add --apply\n")
