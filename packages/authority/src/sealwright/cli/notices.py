"""`sealwright respond notify|consent|send|notices|delivered`: what affected tenants are told, and if they
were.

Nothing is signed by one operator alone, and nothing that was signed is changed: a correction supersedes it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.admin import Admin
from sealwright.cli.notify import Drafts, ask, due, require_askable, require_sendable, show, whole_scope
from sealwright.cli.notify import send as sign
from sealwright.cli.notify import write as write_notices
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json

Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this, only show what it would do.")]
Operator = Annotated[str, typer.Option("--operator", help="Your name, as the audit trail is to have it.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the drafts and notices.")]
Request = Annotated[str, typer.Argument(help="Id of the request.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Make these commands of the program's."""
    for command in (notify, consent, send, notices, delivered):
        app.command()(command)


def notify(
    *,
    key: Annotated[str, typer.Option("--key", help="The key that was misused.")],
    incident: Annotated[str, typer.Option("--incident", help="Id of the incident.")],
    correction: Annotated[
        str, typer.Option("--correction", help="What is corrected; for tenants that have a notice.")
    ] = "",
    operator: Operator = "",
    out: Folder = Path("notices"),
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Apply = False,
) -> None:
    """Compose a notice for each affected tenant; with --apply, ask another operator to agree.

    Tenants that have a notice get a next version of it with --correction, where anything is new.
    """
    settled = configured(config, state)
    admin = Admin.of(settled)
    admin.get(f"/admin/incidents/{incident}")
    if go or operator:
        require_askable(out, operator)
    made = due(admin, whole_scope(settled, key), incident, correction)
    if not made:
        sys.stdout.write("nobody has to be told anything new\n")
    elif not go:
        show(made)
        sys.stdout.write(f"{len(made)} notices; add --apply and --operator to ask for agreement\n")
    else:
        request = ask(admin, Drafts(incident, made), out, operator)
        sys.stdout.write(f"{request}: another operator runs `respond consent {request}`, then\n")
        sys.stdout.write(f"sealwright respond send {request} --out {out} --apply\n")


def consent(
    request: Request, *, operator: Operator, config: ConfigFile = None, state: StateDirectory = None
) -> None:
    """Agree to what another operator asked for."""
    Admin.of(configured(config, state)).post(f"/admin/approvals/{request}/consent", {"operator": operator})
    sys.stdout.write(f"{operator} agrees to {request}\n")


def send(
    request: Request,
    *,
    out: Folder = Path("notices"),
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Apply = False,
) -> None:
    """Sign the notices that were agreed to, and write them for their tenants."""
    admin = Admin.of(configured(config, state))
    if go:
        sys.stdout.write(f"{sign(admin, out, request)} notices signed and written to {out}\n")
    else:
        count = require_sendable(admin, out, request)
        sys.stdout.write(f"would sign {count} notices and write them to {out}; add --apply\n")


def notices(
    incident: Annotated[str, typer.Argument(help="Id of the incident.", show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Write them to this folder as well.")] = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """List the notices about an incident, every version, and what became of each."""
    found = Admin.of(configured(config, state)).get("/admin/notices", incident=incident)["notices"]
    if out is not None:
        write_notices(out, found)
    if as_json:
        write_json(found)
        return
    shown = table("id", "tenant", "version", "made", "supersedes", "delivered")
    for one in found:
        notice = one["notice"]
        ways = ", ".join(f"{way['channel']}: {way['outcome']}" for way in one["deliveries"]) or "-"
        made = moment(notice["issued_at"])
        shown.add_row(one["id"], one["tenant"], str(one["version"]), made, notice["supersedes"] or "-", ways)
    console().print(shown)


def delivered(
    notice: Annotated[str, typer.Argument(help="Id of the notice.", show_default=False)],
    *,
    channel: Annotated[str, typer.Option("--channel", help="How it went: mail, portal, by hand.")],
    outcome: Annotated[str, typer.Option("--outcome", help="What came of it: accepted, bounced.")],
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Note in the delivery log how a notice went to its tenant, and what came of it."""
    body = {"channel": channel, "outcome": outcome}
    Admin.of(configured(config, state)).post(f"/admin/notices/{notice}/delivered", body)
    sys.stdout.write(f"noted: {notice} by {channel}: {outcome}\n")
