"""`sealwright ledger retention`, `archive`, `purge`, `erase`: how long things are kept, and what may go.

Each prints its plan and needs `--apply`; each change is an audit entry. Nothing here can shorten a time.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sealwright.cli.options import Apply, AsJson, ConfigFile, StateDirectory, configured
from sealwright.cli.output import console, moment, table, write_json
from sealwright.clock import SystemClock
from sealwright.config.retention import DAY
from sealwright.errors import Misconfigured, Refused
from sealwright.ledger.retention import kept_until
from sealwright.ledger.service import parse_place
from sealwright.wiring.retention import Keeper, open_keeper

MAX_REASON = 200
KEY_MEMBERS = ("kid", "trusted_until", "kept_until")


def retention(*, config: ConfigFile = None, state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Show until when the records of each key are kept. Nobody can purge them earlier."""
    keeper = _opened(config, state)
    rows = [(key.kid, key.trusted_until, kept_until(key, keeper.retention)) for key in keeper.trusts()]
    times = {"hot": keeper.retention.hot, "keep": keeper.retention.keep}
    if as_json:
        write_json(times | {"keys": [dict(zip(KEY_MEMBERS, row, strict=True)) for row in rows]})
        return
    shown = table("key", "trusted until", "kept until", whole="key")
    for kid, trusted, kept in rows:
        shown.add_row(kid, moment(trusted), moment(kept))
    console().print(shown)
    hot, keep = times["hot"] // DAY, times["keep"] // DAY
    sys.stdout.write(f"hot for {hot} days; kept for {keep} days after the end of trust\n")


def archive(*, apply: Apply = False, config: ConfigFile = None, state: StateDirectory = None) -> None:
    """Move segments that are older than the hot time to cold storage. They stay provable."""
    keeper = _opened(config, state)
    due = keeper.due()
    for segment in due:
        what = f"leaves {segment.first} to {segment.end - 1} of log {segment.log_id}"
        if apply:
            moved = keeper.move(segment)
            sys.stdout.write(f"moved {what} to {moved.file}\n")
        else:
            sys.stdout.write(f"would move {what}\n")
    _end(len(due), "nothing is old enough to move", apply=apply)


def purge(*, apply: Apply = False, config: ConfigFile = None, state: StateDirectory = None) -> None:
    """Remove private records whose time is over. Leaves stay for ever."""
    keeper = _opened(config, state)
    over = keeper.over()
    for key in over:
        if apply:
            sys.stdout.write(f"removed {keeper.purge(key)} records of key {key.kid}\n")
        else:
            sys.stdout.write(f"would remove the records of key {key.kid}\n")
    _end(len(over), "no record's time is over", apply=apply)


Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the tombstone and the audit trail.")]


def erase(
    jti: Annotated[str, typer.Argument(metavar="JTI", help="The token whose private record is to go.")],
    *,
    reason: Reason,
    apply: Apply = False,
    config: ConfigFile = None,
    state: StateDirectory = None,
) -> None:
    """Erase one private record (privacy law). Its leaf stays, with a tombstone, and every proof."""
    place = parse_place(jti)
    if place is None:
        raise Refused("unknown_place", "this is no jti of ours")
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise Misconfigured("bad_reason", f"the reason needs 1 to {MAX_REASON} printable characters")
    keeper = _opened(config, state)
    if apply:
        keeper.erase(place, reason)
        sys.stdout.write(f"erased the record of leaf {place.index} of log {place.log_id}\n")
    else:
        sys.stdout.write(f"would erase the record of leaf {place.index} of log {place.log_id}\n")
    _end(1, "", apply=apply)


def _opened(config: ConfigFile, state: StateDirectory) -> Keeper:
    return open_keeper(configured(config, state), SystemClock())


def _end(count: int, nothing: str, *, apply: bool) -> None:
    if not count:
        sys.stdout.write(f"{nothing}\n")
    elif not apply:
        sys.stdout.write("nothing was changed; do it with --apply\n")
