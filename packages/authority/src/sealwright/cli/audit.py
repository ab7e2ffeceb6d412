"""`sealwright audit`: who did what and when, over the admin socket."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import moment, write_json_line

PAGE = 1_000


def command(
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only entries after this number.")] = 0,
    action: Annotated[str | None, typer.Option("--action", help="Only entries of this action.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the audit trail, oldest first, one entry a line: number, time, who, what, to what, and details.

    Each entry's digest is a leaf of the ledger; `sealwright ledger fsck` compares them. Reading is an entry.
    """
    shown = 0
    for entry in _pages(Admin.of(configured(config, state)), after):
        if action is None or entry["action"] == action:
            shown += 1
            _write(entry, as_json=as_json)
    if not shown and not as_json:
        sys.stderr.write("no entries\n")


def _pages(admin: Admin, after: int) -> Iterator[dict[str, Any]]:
    while True:
        page = admin.get("/admin/audit", after=after, limit=PAGE)
        yield from page["entries"]
        if len(page["entries"]) < PAGE:
            return
        after = page["next"]


def _write(entry: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_json_line(entry)
        return
    words = (entry["seq"], moment(entry["at"]), entry["actor"], entry["action"], entry["subject"])
    told = msgspec.json.encode(entry["details"]).decode() if entry["details"] else ""
    waits = "" if entry["stated"] else "(not in the ledger yet)"
    sys.stdout.write(" ".join(filter(None, (*map(str, words), told, waits))) + "\n")
