"""`sealwright ledger`: reads the ledger from the state directory; works while the authority runs and while it
does not. Commands that change something print their plan and need `--apply`.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli import ledger_witnesses
from sealwright.cli.fsck import fsck
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json
from sealwright.cli.receipts import prove, verify
from sealwright.cli.retention import archive, erase, purge, retention
from sealwright.cli.tokens import claimed_place
from sealwright.errors import Refused
from sealwright.files import writing
from sealwright.ledger.fingerprints import fingerprint_files
from sealwright.ledger.model import TokenLeaf, parse_leaf
from sealwright.wiring.inspect import Inspection, inspect

app = typer.Typer(no_args_is_help=True)
app.command()(fsck)
app.command()(prove)
app.command()(verify)
for command in (retention, archive, purge, erase):
    app.command()(command)
app.command("witnesses")(ledger_witnesses.command)
app.command("cosigner")(ledger_witnesses.own)


@app.command()
def show(
    log_id: Annotated[str | None, typer.Argument(help="A log; every log without it.")] = None,
    index: Annotated[int | None, typer.Argument(help="One leaf of that log.", min=0)] = None,
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Show the logs, one log's checkpoint, or one leaf."""
    opened = inspect(configured(config, state))
    if log_id is None:
        _show_logs(opened, as_json=as_json)
        return
    log = opened.store.log(log_id)
    if log is None:
        raise Refused("unknown_log", f"there is no log {log_id}; see `sealwright ledger show`")
    if index is None:
        if as_json:
            write_json(log)
        else:
            sys.stdout.write(log.checkpoint)
        return
    leaf = opened.store.leaf(log_id, index) if index < log.size else None
    if leaf is None:
        raise Refused(
            "no_leaf", f"log {log_id} has {log.size} leaves, counted from 0; there is no leaf {index}"
        )
    write_json({"log_id": log_id, "index": index} | _describe(leaf))


def _show_logs(opened: Inspection, *, as_json: bool) -> None:
    logs = opened.store.logs()
    if as_json:
        write_json(logs)
        return
    shown = table("log", "leaves", "closed", "origin")
    for log in logs:
        shown.add_row(log.log_id, str(log.size), moment(log.closed_at), log.origin)
    console().print(shown)


def _describe(leaf: bytes) -> dict[str, Any]:
    parsed = parse_leaf(leaf)
    if not isinstance(parsed, TokenLeaf):
        return {"kind": parsed.kind, **parsed.members}
    kid = base64.urlsafe_b64encode(parsed.kid).rstrip(b"=").decode()
    times = {"iat": parsed.iat, "exp": parsed.exp}
    return {"kind": 1, "digest": parsed.digest.hex(), "kid": kid, **times, "record": parsed.record.hex()}


@app.command()
def fingerprints(
    folder: Annotated[Path, typer.Argument(help="Where to write a file for each log.")],
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Write the fingerprints of our keys, by which `sealwright dumps scan` finds them in any dump."""
    written: dict[str, int] = {}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for log_id, document in fingerprint_files(inspect(configured(config, state)).store):
        file = folder / f"{log_id}.json"
        with writing(file):
            file.write_text(document, encoding="utf-8")
        written[str(file)] = document.count('"mac"')
    if as_json:
        write_json(written)
        return
    for name, marks in written.items():
        sys.stdout.write(f"{name}: {marks} marks\n")


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar="TOKEN", help="A token, or - for standard input.")] = "-",
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a token was ever issued, by its leaf. Exit status 1 when it was not. Says nothing of its
    validity.
    """
    opened = inspect(configured(config, state))
    unverified_token = sys.stdin.read().strip() if source == "-" else source
    jti, kid, digest = claimed_place(unverified_token)
    standing = opened.ledger.check(jti, digest, kid)
    issued = standing.reason is None
    place = standing.place
    answer = {
        "issued": issued,
        "reason": standing.reason,
        "log_id": place.log_id if place else None,
        "index": place.index if place else None,
        "size": standing.size,
    }
    if as_json:
        write_json(answer)
    elif issued:
        sys.stdout.write(
            f"issued: leaf {answer['index']} of log {answer['log_id']}, which has {standing.size}\n"
        )
    else:
        sys.stdout.write(f"not issued: {standing.reason}\n")
    raise typer.Exit(0 if issued else 1)
