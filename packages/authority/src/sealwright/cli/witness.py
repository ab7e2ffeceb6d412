"""`sealwright witness`: runs a witness for logs, its own or other people's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.policies import read_policy
from sealwright.logs import write_json_logs
from sealwright.wiring.witness import WitnessSettings, address, build, serve

Follow = Annotated[list[str] | None, typer.Option("--follow", help="URL of a Sealwright; needs --root.")]


def command(
    *,
    state: Annotated[Path, typer.Option("--state", help="Directory for keys and heads; made when absent.")],
    name: Annotated[str, typer.Option("--name", help="Name in the cosignatures, like a URL without scheme.")],
    follow: Follow = None,
    root: Annotated[
        list[Path] | None, typer.Option("--root", help="Pinned root document, one for each --follow.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="tlog-policy file; its `log` lines are cosigned too.")
    ] = None,
    listen: Annotated[str, typer.Option("--listen", help="HOST:PORT.")] = "127.0.0.1:8430",
    stale_after: Annotated[
        int, typer.Option("--stale-after", min=1, help="Seconds until an open log without news is stale.")
    ] = 300,
    vkey: Annotated[bool, typer.Option("--vkey", help="Print the verifier keys and end.")] = False,
) -> None:
    """Cosign the growing trees of logs, and refuse a second version of any (C2SP tlog-witness)."""
    if len(follow or []) != len(root or []):
        raise typer.BadParameter("one --root for each --follow")
    where = address(listen)
    logs = dict(read_policy(policy).logs) if policy else {}
    settings = WitnessSettings(
        directory=state,
        name=name,
        logs=logs,
        follow=tuple(zip(follow or [], root or [], strict=False)),
        listen=where,
        stale_after=stale_after,
    )
    witness, book = build(settings)
    sys.stdout.write("".join(f"{key}\n" for key in witness.vkeys))
    sys.stdout.flush()
    if vkey:
        return
    if not logs and not follow:
        raise typer.BadParameter("no logs: give --follow URL --root FILE, or --policy FILE with log lines")
    write_json_logs("witness", "info")
    serve(settings, witness, book)
