"""`sealwright incidents`: alarms gathered by what they are about, each with its timeline."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("list")
def list_incidents(
    *, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False
) -> None:
    """List incidents, oldest first."""
    found = Admin.of(configured(config, state)).get("/admin/incidents")["incidents"]
    if as_json:
        write_json(found)
        return
    shown = table("id", "severity", "about", "began", "last alarm", "alarms", "codes")
    for one in found:
        shown.add_row(
            one["id"],
            one["severity"],
            one["about"],
            moment(one["first_at"]),
            moment(one["last_at"]),
            str(one["alarms"]),
            ", ".join(f"{code} {count}" for code, count in one["codes"].items()),
        )
    console().print(shown)


@app.command()
def show(
    incident: Annotated[str, typer.Argument(help="Id of the incident, see `list`.", show_default=False)],
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Show one incident: its alarms and what was done about them, in the order of time."""
    found = Admin.of(configured(config, state)).get(f"/admin/incidents/{incident}")
    if as_json:
        write_json(found)
        return
    console().print(f"{found['id']}  {found['severity']}  {found['about']}")
    shown = table("when", "what", "details")
    for entry in found["timeline"]:
        shown.add_row(moment(entry["at"]), *_told(entry))
    console().print(shown)
    hidden = found["alarms"] - sum(entry["what"] == "alarm" for entry in found["timeline"])
    if hidden > 0:
        console().print(f"and {hidden} more alarms")


def _told(entry: dict[str, Any]) -> tuple[str, str]:
    if entry["what"] == "alarm":
        return entry["code"], f"token {entry['digest'][:16]} seen by {entry['reporter'] or 'history'}"
    preview = msgspec.json.encode(entry["preview"]).decode()
    return f"{entry['outcome']}: {entry['action']}", f"{entry['subject']} by rule {entry['rule']} {preview}"
