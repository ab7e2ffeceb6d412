"""One log under a monitor's eye: its head is opened, compared with everything that was seen, and read up to.

May never move on from a tree that does not fit the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sealwright.monitor.again import Sweep
from sealwright.monitor.leaves import LeafAudit
from sealwright.monitor.model import Broken, Code, Finding
from sealwright.monitor.reading import Mark, Position, Progress, Reader
from sealwright.monitor.state import SavedLog
from sealwright.monitor.tree import ReadTree
from sealwright_validate.errors import Refused
from sealwright_validate.keyset import LogKey
from sealwright_validate.log_list import ListedLog
from sealwright_validate.note import Checkpoint, open_checkpoint

KEPT_HEADS = 256
"""Verified heads that are remembered for comparing with witnesses that are behind."""


@dataclass(slots=True)
class WatchedLog:
    """What is known of one log. Times are seconds since 1970 by the monitor's clock."""

    key: LogKey
    position: Position
    grown_at: float
    looked_at: float = 0.0
    size: int = 0
    evidence: str = ""
    closed: bool = False
    state: str = ""
    marks: dict[int, Mark] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    sweep: Sweep = field(default_factory=Sweep)

    def open_head(self, note: str) -> Checkpoint:
        """The head in a served checkpoint.

        Raises:
            Broken: `checkpoint_refused`, `rollback` or `split_view`.
        """
        try:
            head = open_checkpoint(note, self.key)
        except Refused as refusal:
            raise Broken(Code.CHECKPOINT_REFUSED, refusal.detail) from refusal
        tree = self.position.tree
        if head.size < tree.size:
            raise Broken(Code.ROLLBACK, f"a head of {head.size} leaves, after one of {tree.size}")
        if head.size == tree.size and head.root != tree.root():
            raise Broken(Code.SPLIT_VIEW, f"a second root at {head.size} leaves")
        self.size = head.size
        return head

    def require_listed(self, head: Checkpoint, listed: ListedLog) -> None:
        """A closed log shows its final head.

        Raises:
            Broken: `closed_log_changed`.
        """
        if listed.closed_at is not None and (head.size, head.root) != (listed.size, listed.root):
            detail = f"it was closed with {listed.size} leaves and shows a head of {head.size}"
            raise Broken(Code.CLOSED_LOG_CHANGED, detail)

    def note_mark(self, mark: Mark) -> None:
        """Somebody has seen this head: it must be one of ours, or become one.

        Raises:
            Broken: `split_view`.
        """
        known = self.heads.get(mark.size)
        if known is not None and known != mark.root:
            raise Broken(Code.SPLIT_VIEW, f"{mark.who} has seen another tree of {mark.size} leaves")
        if mark.size > self.position.tree.size:
            before = self.marks.setdefault(mark.size, mark)
            if before.root != mark.root:
                detail = f"{mark.who} and {before.who} have seen two trees of {mark.size} leaves"
                raise Broken(Code.SPLIT_VIEW, detail)

    def read_to(self, head: Checkpoint, reader: Reader, now: float, progress: Progress) -> None:
        """Read up to a head.

        Raises:
            Broken: see `Reader.advance`.
            Unavailable: no answer.
        """
        grown = head.size > self.position.tree.size
        if grown:
            marks = {size: mark for size, mark in self.marks.items() if size <= head.size}
            self.position = reader.advance(self.position, head, marks, progress)
            self.grown_at = now
            for size in marks:
                del self.marks[size]
        self.heads[head.size] = head.root
        while len(self.heads) > KEPT_HEADS:
            del self.heads[next(iter(self.heads))]

    def look_again(self, head: Checkpoint, reader: Reader, count: int) -> list[Finding]:
        """What is wrong now with what was read before: `count` bundles, and those that are in doubt.

        Raises:
            Unavailable: no answer.
        """
        found, again = list[Finding](), None
        for number in self.sweep.turn(head.size, count):
            again = again or reader.again(head)
            finding = again.look(number)
            self.sweep.judged(number, sound=finding is None)
            if finding is not None:
                found.append(finding)
        return found

    def saved(self) -> SavedLog:
        """What survives a restart."""
        tree, audit = self.position.tree, self.position.audit
        return SavedLog(
            origin=self.key.origin,
            public=self.key.public.hex(),
            size=tree.size,
            roots=[root.hex() for root in tree.roots],
            keys={kid.hex(): key for kid, key in audit.keys.items()},
            manifests=list(audit.manifests),
            closed=self.closed,
        )


def new_log(log_id: str, key: LogKey, realms: Collection[str], now: float) -> WatchedLog:
    """A log of which nothing was read yet."""
    return WatchedLog(key, Position(ReadTree(), LeafAudit(log_id, key, realms)), now)


def restored(logs: Mapping[str, SavedLog], realms: Collection[str], now: float) -> dict[str, WatchedLog]:
    """The logs of a saved state.

    Raises:
        ValueError: it does not fit itself.
    """
    found = {}
    for log_id, saved in logs.items():
        key = LogKey(saved.origin, bytes.fromhex(saved.public))
        keys = {bytes.fromhex(kid): life for kid, life in saved.keys.items()}
        audit = LeafAudit(log_id, key, realms, keys, saved.manifests)
        tree = ReadTree(saved.size, map(bytes.fromhex, saved.roots))
        found[log_id] = WatchedLog(key, Position(tree, audit), now, size=saved.size, closed=saved.closed)
        found[log_id].heads[saved.size] = tree.root()
    return found
