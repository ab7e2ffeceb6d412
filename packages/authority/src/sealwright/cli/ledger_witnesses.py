"""`sealwright ledger witnesses`: how the witnesses have been answering, over the admin socket."""

from __future__ import annotations

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json


def command(*, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Show the witnesses of a running authority, and the logs that lack their quorum now."""
    told = Admin.of(configured(config, state)).get("/admin/witnesses")
    if as_json:
        write_json(told)
        return
    to = console()
    if not told["witnesses"]:
        to.print("no witnesses are configured (witness.policy)")
        return
    shown = table("witness", "url", "last cosigned", "failures", "last error")
    for one in told["witnesses"]:
        names = ", ".join(one["witnesses"])
        shown.add_row(
            names, one["url"], moment(one["cosigned_at"]), str(one["failures"]), one["error"] or "-"
        )
    to.print(shown)
    for log_id, since in told["quorum_missed"].items():
        to.print(f"[red]{log_id} has lacked its quorum since {moment(since)}[/]")
