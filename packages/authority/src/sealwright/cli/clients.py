"""`sealwright clients`: registrations, over the admin socket."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, table, write_json
from sealwright.errors import Misconfigured

app = typer.Typer(no_args_is_help=True)
PLAN_ONLY = "nothing was changed; repeat it with --apply to do it\n"
ClientId = Annotated[str, typer.Argument(help="The client's id.")]


@app.command("list")
def list_clients(*, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """List every client."""
    found = Admin.of(configured(config, state)).get("/admin/clients")["clients"]
    if as_json:
        write_json(found)
        return
    shown = table(
        "client", "realm", "kind", "enabled", "authentication", "audiences", "scopes", whole="client"
    )
    for client in found:
        enabled = "yes" if client["enabled"] else "[red]no[/]"
        lists = [" ".join(client[name]) for name in ("audiences", "scopes")]
        shown.add_row(
            client["client_id"], client["realm"], client["kind"], enabled, client["auth_method"], *lists
        )
    console().print(shown)


@app.command()
def add(  # noqa: PLR0913 - each is an option of the command
    realm: Annotated[str, typer.Argument(help="The realm whose tokens it gets.")],
    *,
    audience: Annotated[
        list[str] | None, typer.Option("--audience", help="What it may ask tokens for; repeat it.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="A scope that it may ask for; repeat it.")
    ] = None,
    client_id: Annotated[str | None, typer.Option("--id", help="Its id; a random one otherwise.")] = None,
    jwks: Annotated[Path | None, typer.Option("--jwks", help="Its public keys, for private_key_jwt.")] = None,
    reporter: Annotated[
        bool, typer.Option("--reporter", help="A relying party that reports observations.")
    ] = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Register a client. Its secret is made here and shown once."""
    settled = configured(config, state)
    wanted: dict[str, Any] = {
        "realm": realm,
        "audiences": audience or list(settled.realms[realm].audiences if realm in settled.realms else ()),
        "scopes": scope or [],
        "client_id": client_id,
        "kind": "reporter" if reporter else "client",
        "jwks": _jwks(jwks) if jwks else None,
    }
    if not apply:
        write_json({"would_add": wanted})
        sys.stderr.write(PLAN_ONLY)
        return
    made = Admin.of(settled).post("/admin/clients", wanted)
    if as_json:
        write_json(made)
        return
    sys.stdout.write(f"client_id      {made['client_id']}\n")
    if "client_secret" in made:
        sys.stdout.write(f"client_secret  {made['client_secret']}\n")
        sys.stderr.write("the secret is shown this once\n")


@app.command()
def disable(
    client_id: ClientId, *, config: ConfigFile = None, state: StateDirectory = None, apply: Apply = False
) -> None:
    """Refuse a client everywhere from now on. Tokens that it has stay valid until they expire."""
    _switch(client_id, "disable", config, state, apply=apply)


@app.command()
def enable(
    client_id: ClientId, *, config: ConfigFile = None, state: StateDirectory = None, apply: Apply = False
) -> None:
    """Serve a disabled client again."""
    _switch(client_id, "enable", config, state, apply=apply)


def _switch(client_id: str, what: str, config: Path | None, state: Path | None, *, apply: bool) -> None:
    admin = Admin.of(configured(config, state))
    known = {client["client_id"]: client for client in admin.get("/admin/clients")["clients"]}
    if client_id not in known:
        raise Misconfigured(
            "unknown_client", f"there is no client {client_id}; see `sealwright clients list`"
        )
    if not apply:
        sys.stdout.write(f"would {what} {client_id} of realm {known[client_id]['realm']}\n")
        sys.stderr.write(PLAN_ONLY)
        return
    admin.post(f"/admin/clients/{client_id}/{what}")
    sys.stdout.write(f"{what}d {client_id}\n")


def _jwks(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise Misconfigured("unreadable_file", f"cannot read {file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Misconfigured("bad_jwks", f"{file} is no JSON Web Key Set: {error}") from error
