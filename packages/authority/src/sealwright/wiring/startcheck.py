"""Checks the ledger before the authority serves: a damaged one is named, leaf and byte, and not continued.

A small ledger is checked whole before anything is served. A large one is checked while the authority serves,
and ends the process when something is wrong. It repairs nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from sealwright.errors import Misconfigured, Unavailable
from sealwright.keys.model import Manifest
from sealwright.ledger.fsck import Report, check_ledger
from sealwright.ledger.ports import FileStore, LedgerStore
from sealwright.wiring.restored import require_not_restored

log = logging.getLogger(__name__)
EARLIEST, LATEST = 1_704_067_200, 2_051_222_400
"""2024-01-01 and 2035-01-01, seconds since 1970: outside them the clock of this host is wrong, not late."""
BEHIND = 300
"""Seconds by which the clock may be behind what this state was written at."""
AT_ONCE = 200_000
"""Leaves up to which the check comes before serving: about two seconds."""


def require_plausible_clock(now: float, newest: float) -> None:
    """Refuse to start by a clock that cannot be right: windows of keys would be made of it.

    Args:
        now: seconds since 1970.
        newest: when this state last signed a manifest; 0 where it never did.

    Raises:
        Misconfigured: `clock_implausible` or `clock_behind_state`.
    """
    told = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not EARLIEST <= now < LATEST:
        raise Misconfigured(
            "clock_implausible",
            f"this host's clock says {told}; keys would be made for another decade. Set the clock (NTP), "
            "then start again",
        )
    if now < newest - BEHIND:
        raise Misconfigured(
            "clock_behind_state",
            f"this host's clock says {told}, {int(newest - now)} s before this state's newest manifest was "
            "signed. Set the clock (NTP), then start again",
        )


def before_serving(
    store: LedgerStore, newest: Manifest | None, directory: Path, now: float, cold: FileStore | None = None
) -> bool:
    """Check what must hold before anything is served; whether the ledger was checked whole.

    Args:
        store: the ledger.
        newest: the newest manifest of the state.
        directory: the ledger's files.
        now: seconds since 1970.
        cold: cold storage.

    Raises:
        Misconfigured: the clock or the state cannot be right.
    """
    require_plausible_clock(now, newest.issued_at if newest else 0)
    require_not_restored(store, newest, directory)
    if not is_small(store):
        return False
    try:
        require_sound(store, directory, cold)
    except Unavailable as error:
        # Nothing is known to be wrong: a bucket that is away must not keep tokens from being issued.
        log.warning("the ledger is not checked yet", extra={"facts": {"detail": str(error)}})
        return False
    return True


def is_small(store: LedgerStore) -> bool:
    """Whether the ledger is checked before serving."""
    return sum(stored.size for stored in store.logs()) <= AT_ONCE


def require_sound(store: LedgerStore, directory: Path, cold: FileStore | None = None) -> Report:
    """Check everything, what is in cold storage as well.

    Raises:
        Misconfigured: `ledger_damaged`, naming the first wrong leaf.
    """
    report = check_ledger(store, directory, cold=cold)
    for damage in report.damages:
        facts = {
            "log_id": damage.log_id,
            "code": damage.code,
            "where": damage.where,
            "leaf": damage.index,
            "byte": damage.byte,
        }
        log.critical("ledger damaged", extra={"facts": facts})
    if report.damages:
        first = next((damage for damage in report.damages if damage.index is not None), report.damages[0])
        raise Misconfigured(
            "ledger_damaged",
            f"log {first.log_id}: {first.message} ({first.code} in {first.where}, leaf {first.index}); "
            "see `sealwright ledger fsck`",
        )
    log.info("ledger sound", extra={"facts": {"logs": report.logs, "leaves": report.leaves}})
    return report
