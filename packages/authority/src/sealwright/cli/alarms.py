"""`sealwright alarms`: what detection found, over the admin socket."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import moment, write_json_line
from sealwright.errors import Unavailable

PAGE = 1_000


def command(
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing alarms as they come.")
    ] = False,
    after: Annotated[int, typer.Option("--after", help="Only alarms after this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print alarms, oldest first, one a line."""
    admin = Admin.of(configured(config, state))
    last = after
    for alarm in _pages(admin, after):
        _write(alarm, as_json=as_json)
        last = alarm["seq"]
    if not follow:
        if last == after and not as_json:
            sys.stderr.write("no alarms\n")
        return
    with admin.events("/admin/alarms", last) as events:
        for data in events:
            alarm = msgspec.json.decode(data)
            _write(alarm, as_json=as_json)
            last = alarm["seq"]
    raise Unavailable("not_running", f"the authority stopped; go on with `--follow --after {last}`")


def _pages(admin: Admin, after: int) -> Iterator[dict[str, Any]]:
    while True:
        page = admin.get("/admin/alarms", after=after, limit=PAGE)
        yield from page["alarms"]
        if not page["alarms"]:
            return
        after = page["next"]


def _write(alarm: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_json_line(alarm)
        return
    told = {name: value for name, value in alarm.items() if value not in (None, [], {}, "")}
    head = (alarm["seq"], moment(alarm["raised_at"]), alarm["severity"], alarm["code"])
    rest = {name: told[name] for name in ("kid", "jti", "digest", "reporter", "facts") if name in told}
    sys.stdout.write(" ".join(map(str, head)) + " " + msgspec.json.encode(rest).decode() + "\n")
    sys.stdout.flush()
