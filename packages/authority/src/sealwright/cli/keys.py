"""`sealwright keys`: token keys and their states, over the admin socket. There is no private key to show."""

from __future__ import annotations

from typing import Annotated

import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json

app = typer.Typer(no_args_is_help=True)
STYLES = {"active": "green", "staged": "cyan", "verify-only": "", "retired": "dim", "revoked": "red"}


@app.command("list")
def list_keys(
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    every: Annotated[bool, typer.Option("--all", help="Retired keys as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys of every realm, with their windows."""
    found = Admin.of(configured(config, state)).get("/admin/keys")["keys"]
    kept = [key for key in found if every or key["state"] != "retired"]
    if as_json:
        write_json(kept)
        return
    shown = table("realm", "alg", "state", "signs from", "until", "verifies until", "key id")
    for key in sorted(kept, key=lambda key: (key["realm"], key["alg"], key["use_from"])):
        style = STYLES.get(key["state"], "")
        times = [moment(key[name]) for name in ("use_from", "use_until", "verify_until")]
        shown.add_row(key["realm"], key["alg"], key["state"], *times, key["kid"], style=style)
    console().print(shown)


@app.command()
def show(
    kid: Annotated[str, typer.Argument(help="The key's id.")],
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Print everything that is known of a key, as JSON: windows, public key, announcement."""
    write_json(Admin.of(configured(config, state)).get(f"/admin/keys/{kid}"))
