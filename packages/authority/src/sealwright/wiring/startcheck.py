"""Checks the ledger before the authority serves: a damaged one is named, leaf and byte, and not continued.

A small ledger is checked whole before anything is served. A large one is checked while the authority serves,
and ends the process when something is wrong. It repairs nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sealwright.errors import Misconfigured
from sealwright.ledger.fsck import Report, check_ledger
from sealwright.ledger.ports import LedgerStore

log = logging.getLogger(__name__)
AT_ONCE = 200_000
"""Leaves up to which the check comes before serving: about two seconds."""


def is_small(store: LedgerStore) -> bool:
    """Whether the ledger is checked before serving."""
    return sum(stored.size for stored in store.logs()) <= AT_ONCE


def require_sound(store: LedgerStore, directory: Path) -> Report:
    """Check everything.

    Raises:
        Misconfigured: `ledger_damaged`, naming the first wrong leaf.
    """
    report = check_ledger(store, directory)
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
