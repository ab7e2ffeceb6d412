"""`sealwright adoption`: which audiences the standard validator covers, and the share of tokens that it has
seen.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from sealwright.cli.admin import Admin
from sealwright.cli.options import AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, counted, moment, table, write_json


def command(*, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Show who validates with the standard validator, since the authority started."""
    told = Admin.of(configured(config, state)).get("/admin/adoption")
    if as_json:
        write_json(told)
        return
    shown = table("realm", "audience", "covered", "tokens seen", "validators", "seen by others")
    for one in told["audiences"]:
        covered = "[green]yes[/green]" if one["covered"] else "[yellow]not seen[/yellow]"
        names = "\n".join(one["validators"]) or "-"
        others = "\n".join([f"{one['other_tokens']} tokens", *one["others"]]) if one["others"] else "-"
        shown.add_row(one["realm"], one["audience"], covered, str(one["tokens"]), names, others)
    console().print(shown)
    share = "no token issued yet" if told["share"] is None else f"{told['share']:.0%}"
    console().print(
        f"since {moment(int(told['since']))}: {told['issued']} tokens issued, "
        f"{told['validated']} seen by the standard validator ({share})"
    )
    if told["validators"]:
        console().print(_running(told["validators"]))
    for realm, count in sorted(told["plain_jwks_fetches"].items()):
        fetches = counted(count, "fetch", "fetches")
        console().print(f"{fetches} of the plain JWKS of {realm}: relying parties that read no manifest")
    for name in told["silent"]:
        console().print(f"[yellow]silent:[/yellow] {name}")


def _running(validators: list[dict[str, Any]]) -> Table:
    """What each validator last said of itself."""
    shown = table("validator", "library", "mode", "manifest", "its age", "heard")
    for one in validators:
        says = one["validator"]
        age = "-" if says["manifest_age"] is None else f"{says['manifest_age']:.0f} s"
        shown.add_row(
            f"{says['name']} {says['instance']}",
            f"{says['library']} {says['version']}",
            says["mode"],
            str(says["manifest_version"] or "-"),
            age,
            moment(one["heard_at"]),
        )
    return shown
