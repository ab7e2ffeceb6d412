"""`sealwright keys`: token keys and their states, over the admin socket. There is no private key to show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.admin import Admin
from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json
from sealwright.config.durations import spoken
from sealwright.errors import Misconfigured, Refused
from sealwright.files import writing

MOST_DAYS = 3_650
app = typer.Typer(no_args_is_help=True)
STYLES = {"active": "green", "staged": "cyan", "verify-only": "", "retired": "dim", "revoked": "red"}


@app.command("list")
def list_keys(
    *,
    config: ConfigFile = None,
    state: StateDirectory = None,
    every: Annotated[bool, typer.Option("--all", help="Retired keys as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys of every realm: age, windows, last use and next change."""
    found = Admin.of(configured(config, state)).get("/admin/keys")["keys"]
    kept = [key for key in found if every or key["state"] != "retired"]
    if as_json:
        write_json(kept)
        return
    to = console()
    for key in sorted(kept, key=lambda key: (key["realm"], key["alg"], key["use_from"])):
        start, end, trusted, used = (
            moment(key[name]) for name in ("use_from", "use_until", "verify_until", "last_use")
        )
        after = key["next_change"]
        style = STYLES.get(key["state"], "")
        to.print(f"{key['realm']}  {key['alg']}  {key['state']}  {key['kid']}", style=style)
        to.print(f"  signs {start} to {end}; age {key['age'] / 3_600:.1f} h")
        to.print(f"  verifies until {trusted}; last use {used}")
        to.print(f"  next: {after['to']} at {moment(after['at'])}" if after else "  next: nothing")


@app.command()
def show(
    kid: Annotated[str, typer.Argument(help="The key's id.")],
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Print everything that is known of a key, as JSON: windows, public key, announcement."""
    write_json(Admin.of(configured(config, state)).get(f"/admin/keys/{kid}"))


@app.command()
def revoke(
    kid: Annotated[str, typer.Argument(help="The key's id.")],
    reason: Annotated[str, typer.Option(help="Stays in manifest and ledger, for example key_compromise.")],
    *,
    issued_before: Annotated[
        int | None, typer.Option(help="Tokens issued before this time (seconds since 1970) stay valid.")
    ] = None,
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Revoke a key: its private half is destroyed, and every connected validator hears of it at once."""
    admin = Admin.of(configured(config, state))
    key = admin.get(f"/admin/keys/{kid}")
    kept = (
        f"tokens issued before {moment(issued_before)} stay valid"
        if issued_before
        else "no token stays valid"
    )
    console().print(f"revoke the {key['state']} key {kid} of realm {key['realm']} ({reason}): {kept}")
    if not apply:
        console().print("nothing was changed; add --apply to do it")
        return
    answer = admin.post(f"/admin/keys/{kid}/revoke", {"reason": reason, "issued_before": issued_before})
    console().print(f"revoked; manifest {answer['manifest']} says so")


@app.command()
def rotate(
    *,
    realm: Annotated[str | None, typer.Option(help="One realm; every realm without this.")] = None,
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Stage successors of the active keys now; each signs once it was published for the whole lead.

    Where a key must stop at once, use `revoke`.
    """
    settled = configured(config, state)
    admin = Admin.of(settled)
    known = admin.get("/admin/keys")["keys"]
    if realm is not None and realm not in {key["realm"] for key in known}:
        raise Refused("unknown_realm", f"there is no key of a realm {realm}; see `sealwright keys list`")
    active = [key for key in known if key["state"] == "active" and realm in {None, key["realm"]}]
    if not apply:
        for key in active:
            console().print(f"replace the key {key['kid']} of realm {key['realm']} ({key['age']} s old)")
        lead = spoken(settled.keys.lead)
        console().print(
            f"each successor is published for {lead} first; nothing was changed; add --apply to do it"
        )
        return
    answer = admin.post("/admin/keys/rotate", {"realm": realm})
    if as_json:
        write_json(answer)
        return
    for key in answer["staged"]:
        console().print(
            f"staged {key['kid']} for realm {key['realm']}; it signs from {moment(key['use_from'])}"
        )


@app.command()
def simulate(
    *,
    days: Annotated[float, typer.Option(help="Virtual days, 1 to 3650.")] = 365,
    seed: Annotated[int, typer.Option(help="Draws the faults; the same seed, the same year.")] = 558,
    draw: Annotated[Path | None, typer.Option(help="Write the schedule of the first days as SVG.")] = None,
    draw_days: Annotated[float, typer.Option(help="How many days to draw.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Run keys, signer, store and validators through a year of faults. Exit status 0 only if the rules
    held.
    """
    from sealwright.drills.simulation.picture import draw as picture
    from sealwright.drills.simulation.run import simulate as run

    for name, given, least in (("--days", days, 1), ("--draw-days", draw_days, 0)):
        if not least <= given <= MOST_DAYS:  # nan is in no range
            raise Misconfigured(
                "bad_days", f"{name} {given:g} is no number of days from {least} to {MOST_DAYS}"
            )
    if draw is not None and not draw.absolute().parent.is_dir():  # said before the year is run, not after
        raise Misconfigured("cannot_write", f"cannot write {draw}: there is no folder {draw.parent}")
    outcome = run(days, seed, None if as_json else _progress())
    if draw is not None:
        with writing(draw):
            draw.write_text(picture(outcome, draw_days), encoding="utf-8")
    told: dict[str, Any] = {
        "days": outcome.days,
        "seed": seed,
        "rotations": outcome.rotations,
        "failures": outcome.failures,
        "wrongly_accepted": outcome.wrongly_accepted,
        "oldest_trusted_hours": round(outcome.oldest_trusted_hours, 2),
        "oldest_allowed_hours": round(outcome.oldest_allowed_hours, 2),
        "tokens": outcome.tokens,
        "validations": outcome.validations,
        "attacks": outcome.attacks,
        "unavailable": outcome.unavailable,
        "events": dict(sorted(outcome.events.items())),
        "details": outcome.details,
    }
    if as_json:
        write_json(told)
    else:
        shown = table("what", "count")
        for name, value in told.items():
            if name not in {"events", "details"}:
                shown.add_row(name.replace("_", " "), str(value))
        for name, count in told["events"].items():
            shown.add_row(f"[dim]{name}[/dim]", str(count))
        console().print(shown)
        for line in outcome.details:
            console().print(f"[red]{line}[/red]")
    raise typer.Exit(0 if outcome.held else 1)


def _progress() -> Any:
    from rich.progress import Progress

    bar = Progress(transient=True)
    task = bar.add_task("simulating", total=1.0)
    bar.start()

    def show(share: float) -> None:
        bar.update(task, completed=share)
        if share >= 1:
            bar.stop()

    return show
