"""`sealwright drill`: attacks on purpose. The drills themselves are in `sealwright.drills`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from sealwright.cli.options import AsJson
from sealwright.cli.output import console, table, write_json
from sealwright.errors import Misconfigured

app = typer.Typer(no_args_is_help=True)
REGISTRY = "sealwright.drills.registry"


def registry() -> Any:
    """The module that knows the drills: `DRILLS` (name to what it shows) and `run(name, as_json, disabled) ->
    int`, `run_all(as_json) -> int`.

    Raises:
        Misconfigured: this installation has no drills.
    """
    if find_spec("sealwright.drills") is None or find_spec(REGISTRY) is None:
        raise Misconfigured("no_drills", "this installation has no drills")
    return import_module(REGISTRY)


@app.command("list")
def list_drills(*, as_json: AsJson = False) -> None:
    """List the drills and what each shows."""
    drills = dict(registry().DRILLS)
    if as_json:
        write_json(drills)
        return
    shown = table("drill", "shows")
    for name, text in drills.items():
        shown.add_row(name, text)
    console().print(shown)


@app.command("all")
def run_all(*, as_json: AsJson = False) -> None:
    """Carry out every drill and sum them up. Exit status 0 only if every control held."""
    raise typer.Exit(registry().run_all(as_json=as_json))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The drill's name, see `list`.")],
    *,
    as_json: AsJson = False,
    disable_control: Annotated[
        list[str] | None,
        typer.Option("--disable-control", help="Switch a control off in the sandbox; repeat it."),
    ] = None,
) -> None:
    """Carry out a drill in a sandbox of its own. Exit status 0 only if every control held."""
    known = registry()
    if name not in known.DRILLS:
        raise Misconfigured(
            "unknown_drill", f"there is no drill {name}; there are: {', '.join(known.DRILLS)}"
        )
    raise typer.Exit(known.run(name, as_json=as_json, disabled=tuple(disable_control or ())))
