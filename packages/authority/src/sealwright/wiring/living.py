"""The tokens that live now, from the newest leaves of the ledger, and which of them belong together.

Reads only, and at the most so many leaves; whoever asks is told where it stopped.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from sealwright.clock import Clock
from sealwright.detection.rules import place_of
from sealwright.ledger.model import Entry, Log, TokenLeaf, parse_leaf
from sealwright.store.ledger import SqlLedgerStore

AT_ONCE = 5_000
MOST = 200_000
"""Leaves that a preview reads at the most, newest first: about two seconds."""
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Live:
    """A token that has not expired, as the ledger knows it."""

    place: str
    kid: str
    client_id: str | None
    tenant: str | None
    family: str | None
    parent: str | None


class LiveTokens:
    """The tokens that live now, from the newest leaves of every log."""

    def __init__(self, ledger: SqlLedgerStore, clock: Clock, longest: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._longest = longest
        """Seconds that a token lives at the most."""

    def read(self, wanted: Callable[[Live], bool]) -> tuple[list[Live], bool]:
        """Those that are wanted, and whether all that live were looked at."""
        found: list[Live] = []
        looked, complete = 0, True
        for log in self._ledger.logs():
            if log.closed_at is not None and log.closed_at < self._clock.now() - self._longest:
                continue
            for live in self._of(log):
                looked += 1
                if looked > MOST:
                    complete = False
                    break
                if live is not None and wanted(live):
                    found.append(live)
        return found, complete

    def family(self, subject: str) -> tuple[list[Live], bool]:
        """The tokens of a family that live, and whether all that live were looked at."""
        root = _named(subject)
        related, complete = self.read(
            lambda one: one.parent is not None or one.family == subject or one.place == root
        )
        return of_family(related, subject), complete

    def _of(self, log: Log) -> Iterator[Live | None]:
        now, end = self._clock.now(), log.size
        while end > 0:
            start = max(0, end - AT_ONCE)
            for entry in reversed(self._ledger.entries(log.log_id, start, end)):
                leaf = parse_leaf(entry.leaf)
                if not isinstance(leaf, TokenLeaf):
                    continue
                if leaf.iat < now - self._longest:
                    return
                yield _live(log.log_id, entry, leaf) if leaf.exp > now else None
            end = start


def _live(log_id: str, entry: Entry, leaf: TokenLeaf) -> Live:
    record: dict[str, Any] = msgspec.json.decode(entry.record[SALT_BYTES:]) if entry.record else {}
    extra = record.get("extra") or {}
    kid = base64.urlsafe_b64encode(leaf.kid).decode().rstrip("=")
    place = f"{log_id}.{entry.index}"
    line = (extra.get("family"), extra.get("parent"))
    return Live(place, kid, record.get("client_id"), extra.get("tenant"), *line)


def of_family(live: list[Live], subject: str) -> list[Live]:
    """The tokens of a family: those that carry its name, the token of that name, and all that come from it.

    A derived token carries its parent, and never outlives it: so the line to the root is among those that
    live. `subject` is a family, a token (its `jti`, or its place in the ledger), or a refresh token's id.
    """
    children: dict[str, list[Live]] = {}
    for one in live:
        for name in {one.family, _named(one.parent)} - {None}:
            children.setdefault(str(name), []).append(one)
    root = _named(subject) or subject
    found = {one.place: one for one in live if one.place == root}
    waiting = [subject, root]
    while waiting:
        for one in children.pop(waiting.pop(), ()):
            found[one.place] = one
            waiting.append(one.place)
    return [one for one in live if one.place in found]


def _named(token: str | None) -> str | None:
    """A token's place where it is one of ours (a `jti` is a place and a blind part), else its name."""
    place = place_of(token)
    return f"{place.log_id}.{place.index}" if place is not None else token
