"""Monitors of a site on paper, and a log that forks under its own identity key."""

from __future__ import annotations

import shutil
from pathlib import Path

from authority_support.papersite import PaperSite, Seat
from sealwright.ledger.follow import Follower
from sealwright.ledger.tiles import TileWriter
from sealwright.monitor.model import Alarm
from sealwright.monitor.service import Monitor, Rules
from sealwright.monitor.state import StateFile
from sealwright.monitor.witnesses import Witnesses
from sealwright_signer.journal import Journal

RULES = Rules(grace=30, realms=("consumer", "enterprise"), again=1_000_000)
Site = tuple[PaperSite, Seat, Seat]


def monitor_of(
    site: PaperSite,
    rules: Rules = RULES,
    state: Path | None = None,
    witnesses: Witnesses | None = None,
) -> Monitor:
    kept = StateFile(state) if state else None
    follower = Follower(site.fetch, site.pinned, clock=site.clock, state_file=kept.trust if kept else None)
    return Monitor(follower, rules, clock=site.clock, state=kept, witnesses=witnesses)


def codes(alarms: list[Alarm]) -> set[tuple[str, str]]:
    return {(alarm.code.value, alarm.log_id) for alarm in alarms}


def live(site: PaperSite, monitor: Monitor, seconds: float = 30.0, step: float = 15.0) -> list[Alarm]:
    """Time passes in the ordinary way; every alarm that came."""
    found: list[Alarm] = []
    for _ in range(int(seconds / step)):
        site.clock.time += step
        site.refresh()
        found += monitor.round()
    return found


class Fork:
    """Another history of a log after `size` leaves, under the identity key itself, published in its place."""

    def __init__(self, paper: PaperSite, seat: Seat, size: int, more: int) -> None:
        journal = seat.signer.journal
        identity = seat.signer.identity
        self.journal = Journal(journal.origin, identity.public, identity.sign)
        stored = [entry.leaf for entry in paper.store.entries(seat.log_id, 0, journal.size)]
        token = next(leaf for leaf in reversed(stored) if leaf[1] == 1)
        self.leaves = stored[:size]
        self.leaves += [token[:2] + bytes([number]) + token[3:] for number in range(more)]
        self.journal.append(self.leaves)
        self._directory = paper.file(seat, "")

    def publish(self) -> None:
        shutil.rmtree(self._directory)
        writer = TileWriter(self._directory)
        for leaf in self.leaves:
            writer.append(leaf)
        writer.publish(self.journal.checkpoint)
