"""`sealwright ledger witnesses`: how the witnesses have been answering, over the admin socket.

`sealwright ledger cosigner`: the key of the authority's own line.
"""

from __future__ import annotations

import sys

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json
from sealwright.clock import SystemClock
from sealwright.errors import Misconfigured
from sealwright.wiring.cosigner import own_cosigner


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


def own(*, config: ConfigFile = None, state: StateDirectory = None) -> None:
    """Print the policy line of the authority's own ML-DSA-44 cosigner, for those who pin it."""
    settings = configured(config, state)
    if not settings.witness.own:
        raise Misconfigured("no_cosigner", "the authority adds no line of its own: set witness.own = true")
    cosigner = own_cosigner(settings, lambda *_: (), SystemClock())
    sys.stdout.write(f"witness own {cosigner.vkey}\n")
