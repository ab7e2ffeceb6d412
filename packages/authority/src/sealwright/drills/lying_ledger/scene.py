"""The place of the drill: two honest weeks, everybody who watched them, copies for the host to lie with."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from sealwright.drills.forger import claims_of
from sealwright.drills.lying_ledger.book import Book, two_weeks
from sealwright.drills.lying_ledger.host import Host, copy_state
from sealwright.drills.lying_ledger.observers import (
    NOTHING,
    Control,
    OneWitness,
    RelyingParty,
    fsck,
    without_keys,
)
from sealwright.drills.lying_ledger.watcher import monitor
from sealwright.drills.simulation.world import VirtualClock
from sealwright.ledger.model import KIND_TOKEN, Log, Place
from sealwright_validate.log_list import LogList, open_log_list
from sealwright_validate.root import pinned_root

OBSERVERS = ("fsck", "validator", "witness", "monitor")


class Scene:
    """Everything that the steps use. `victim` is the token whose leaf the host lies about.

    Args:
        directory: removed at the end.
        disabled: controls to switch off.
    """

    book: Book
    witness: OneWitness
    party: RelyingParty
    victim: str
    newest: str
    log: Log
    closed: Log

    def __init__(self, directory: Path, disabled: Collection[str]) -> None:
        self.directory = directory
        self.flaws = frozenset(disabled)
        self.now = 0.0
        self._copies = 0

    def start(self) -> None:
        """Let the two weeks pass, watched on day ten and at the end."""
        state = self.directory / "state"
        state.mkdir()
        self.book = two_weeks(state, self._day_ten)
        self.now = self.book.clock.now()
        logs = {log.log_id: log for log in self.book.stores.ledger.logs()}
        early = {log.log_id for log in self.early.opened.store.logs()}
        going_on = [logs[name] for name in early if logs[name].closed_at is None]
        self.log = max(going_on, key=lambda log: log.size)
        self.closed = next(log for log in logs.values() if log.closed_at is not None)
        before = int(self.early.published(self.log.log_id).split("\n")[1])
        honest = Host(state, self.book.served)
        leaves = honest.leaves(self.log.log_id)
        mine = [token for token in self.book.tokens if place_of(token).log_id == self.log.log_id]
        begins = range(before + before % 2, len(leaves) - 1, 2)
        pairs = {at for at in begins if leaves[at][1] == leaves[at + 1][1] == KIND_TOKEN}
        self.victim = next(token for token in mine if place_of(token).index in pairs)
        self.newest = mine[-1]
        for log in logs.values():
            self.witness.cosign(honest, log)

    def _day_ten(self, book: Book) -> None:
        """What the observers know of day ten, and the copy that a stale host serves."""
        copy_state(book.state, self.directory / "early")
        self.early = Host(self.directory / "early", book.served)
        self.early_at = book.clock.time
        clock = VirtualClock()
        clock.time = book.clock.time
        self.witness = OneWitness(self.directory / "witness", book.stores.ledger.logs(), clock)
        for log in book.stores.ledger.logs():
            self.witness.cosign(self.early, log)
        root = (book.state / "trust" / "root.json").read_bytes()
        self.seen = open_log_list(pinned_root(root), self._list(book.state), now=book.clock.time)
        self.party = RelyingParty(root, self.seen, self.witness.policy)

    @staticmethod
    def _list(state: Path) -> bytes:
        return (state / "ledger" / "log-list.json").read_bytes()

    def stop(self) -> None:
        """Nothing runs."""

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def copy(self) -> Host:
        """A copy of the end of the two weeks."""
        self._copies += 1
        target = self.directory / f"copy-{self._copies}"
        copy_state(self.book.state, target)
        return Host(target, self.book.served)

    @property
    def listed(self) -> LogList:
        """The honest list of the end."""
        root = pinned_root((self.book.state / "trust" / "root.json").read_bytes())
        return open_log_list(root, self._list(self.book.state), now=self.now)

    def look(self, host: Host) -> dict[str, str]:
        """What each observer says to a host."""
        with without_keys(self.flaws):
            seen = self._look(host)
        seen["monitor"] = monitor((self.early, self.early_at), host, self.now, self.flaws)
        return seen

    def _look(self, host: Host) -> dict[str, str]:
        seen = {"fsck": fsck(host, self.flaws)}
        lists = self.party.lists(host, self.now, self.flaws)
        keys = self.listed.keys
        receipts = [self.party.receipt(host, token, keys, self.flaws) for token in (self.victim, self.newest)]
        receipt = next((said for said in receipts if said != NOTHING), NOTHING)
        seen["validator"] = " ".join(said for said in (lists, receipt) if said != NOTHING) or NOTHING
        if Control.WITNESS_MEMORY in self.flaws:
            self.witness.forget()
        seen["witness"] = self.witness.cosign(host, self.log)
        return seen


def place_of(token: str) -> Place:
    """The place that a token's `jti` names."""
    log_id, index, _ = str(claims_of(token)["jti"]).split(".")
    return Place(log_id, int(index))
