"""`sealwright respond`: what an incident commander asks and does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli import notices
from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json
from sealwright.cli.scope import Form, answer, asked, current_lake, write

app = typer.Typer(no_args_is_help=True, help=__doc__)


Moment = Annotated[
    str | None, typer.Option(metavar="TIME", help="2026-11-22, 2026-11-22T04:30Z, unix seconds, or 7d (ago).")
]


@app.command()
def scope(  # noqa: PLR0913 - one for each option
    lake: Annotated[
        Path | None,
        typer.Argument(help="Folder of a lake; this authority's own by default.", show_default=False),
    ] = None,
    *,
    key: Annotated[str | None, typer.Option("--key", help="Key id to ask about.")] = None,
    client: Annotated[str | None, typer.Option("--client", help="Client to ask about.")] = None,
    since: Moment = None,
    until: Moment = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only what this tenant may be told.")] = None,
    form: Annotated[Form, typer.Option("--format", help="How to write it.")] = Form.JSON,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, instead of the terminal.")] = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Which tenants and subjects forgeries did touch, which they could have, and what evidence is missing.

    Ask about a key, a client, or a time alone: then about every key.
    """
    question = asked(key, client, since, until)
    write(answer(lake or current_lake(configured(config, state)), question), form, tenant, out)


Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this, only show what it would touch.")]


@app.command("list")
def list_responses(
    *, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False
) -> None:
    """List what the rules suggested or did about alarms."""
    found = Admin.of(configured(config, state)).get("/admin/responses")["responses"]
    if as_json:
        write_json(found)
        return
    shown = table("id", "when", "outcome", "action", "subject", "would touch", "because of")
    for one in found:
        decision, preview = one["decision"], one["preview"]
        touched = f"{preview['live_tokens']} live tokens, {preview['clients']} clients"
        shown.add_row(
            one["id"],
            moment(one["at"]),
            one["outcome"],
            decision["action"],
            decision["subject"],
            touched,
            decision["code"],
        )
    console().print(shown)


@app.command()
def apply(
    response: Annotated[str, typer.Argument(help="Id of the suggestion, see `list`.", show_default=False)],
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Carry out what a rule suggested."""
    told = Admin.of(configured(config, state)).post(f"/admin/responses/{response}/apply", {"dry": not go})
    if as_json:
        write_json(told)
        return
    decision = told["response"]["decision"]
    _show_act(decision["action"], decision["subject"], told)


@app.command()
def act(
    action: Annotated[str, typer.Argument(help="revoke_key, disable_client, require_strict or end_family.")],
    subject: Annotated[str, typer.Argument(help="The key id, client, realm or family.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; stays in the audit trail.")] = "operator",
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Apply = False,
) -> None:
    """Take power away: revoke a key, disable a client, end a token family, raise a realm to strict."""
    body = {"action": action, "subject": subject, "reason": reason, "dry": not go}
    _show_act(action, subject, Admin.of(configured(config, state)).post("/admin/act", body))


@app.command()
def relax(
    realm: Annotated[str, typer.Argument(help="The realm that a response raised.", show_default=False)],
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Apply = False,
) -> None:
    """Take back that a realm was raised to strict."""
    told = Admin.of(configured(config, state)).post(f"/admin/realms/{realm}/relax", {"dry": not go})
    if told["done"]:
        sys.stdout.write(f"{realm} is as the configuration says\n")
    else:
        sys.stdout.write(f"would let validators of {realm} accept without asking the ledger; add --apply\n")


@app.command()
def playbook(
    name: Annotated[str, typer.Argument(help="storm-0558.")],
    *,
    key: Annotated[
        str | None, typer.Option("--key", help="The key; by default of the newest incident.")
    ] = None,
    step: Annotated[str | None, typer.Option("--step", help="Only this step.")] = None,
    config: ConfigFile = None,
    state: StateDirectory = None,
    go: Apply = False,
) -> None:
    """Walk through an incident step by step; nothing is changed without --apply."""
    from sealwright.cli.playbook import Scene, require_steps, walk

    require_steps(name, step)  # before the authority is asked about an incident
    settled = configured(config, state)
    walk(Scene.found(Admin.of(settled), settled, key), name, step, go=go)


notices.add_to(app)


def _show_act(action: str, subject: str, told: dict[str, Any]) -> None:
    preview = told["preview"]
    touches = f"{preview['live_tokens']} live tokens of {preview['clients']} clients"
    note = f" ({preview['note']})" if preview.get("note") else ""
    head = "done" if told["done"] else "would do (add --apply)"
    sys.stdout.write(f"{head}: {action} {subject}, touching {touches}{note}\n")
