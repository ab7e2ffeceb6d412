"""Rebuilds what can be derived, and nothing else: files and frontier from leaves, leaves from bundles.

The one measure is the head that the signer signed: leaves count as true only if they lead to its root. May
never make up a leaf or a private record, touch a head, or remove a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sealwright.errors import Refused
from sealwright.ledger.files import CHECKPOINT, LOG_LIST, LedgerFiles
from sealwright.ledger.fsck_files import ENTRIES, FileCheck
from sealwright.ledger.merkle import HASH_BYTES, Frontier, leaf_hash
from sealwright.ledger.model import Log, StoredList
from sealwright.ledger.note import Checkpoint, open_checkpoint, parse_vkey
from sealwright.ledger.ports import FileStore, RepairableStore
from sealwright.ledger.tiles import WIDTH, decode_bundle, write_durably

Leaves = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to rebuild. `possible` is false where nothing is left that it could be derived from."""

    log_id: str
    what: str
    where: str
    possible: bool
    do: Callable[[], None]


def plan_repair(
    store: RepairableStore, files: LedgerFiles, stored_list: StoredList | None = None
) -> list[Step]:
    """What would be rebuilt, in order. Nothing is changed before a step's `do` is called."""
    steps = [step for log in store.logs() if log.size for step in _LogRepair(store, files, log).steps()]
    served = files.hot / LOG_LIST
    if stored_list is not None and (not served.is_file() or served.read_bytes() != stored_list.document):
        write = partial(write_durably, served, stored_list.document)
        steps.append(Step("", "the served log list, from the stored one", LOG_LIST, possible=True, do=write))
    return steps


class _LogRepair:
    def __init__(self, store: RepairableStore, files: LedgerFiles, log: Log) -> None:
        self._store = store
        self._files = files
        self._log = log

    def steps(self) -> list[Step]:
        """What is to be done for this log."""
        try:
            head = open_checkpoint(self._log.checkpoint, parse_vkey(self._log.vkey))
        except Refused as error:
            return [self._lost(f"the signed head ({error.public}): restore the database from a backup")]
        if head.size != self._log.size:
            return [self._lost("rows: the stored size is not that of the head; restore a backup")]
        for leaves in (self._rows, self._bundles, self._voted):
            if _root(leaves()) == (head.size, head.root):
                return [*self._rows_from(leaves), *self._frontier(leaves), *self._derived(leaves, head)]
        return [self._lost("leaves: neither rows nor bundles lead to the signed head; restore a backup")]

    def _lost(self, what: str) -> Step:
        return Step(self._log.log_id, what, "logs", possible=False, do=lambda: None)

    def _rows(self) -> Iterator[bytes]:
        """The leaves as stored; a missing one is empty."""
        for start in range(0, self._log.size, WIDTH):
            end = min(start + WIDTH, self._log.size)
            found = {e.index: e.leaf for e in self._store.entries(self._log.log_id, start, end)}
            yield from (found.get(index, b"") for index in range(start, end))

    def _bundle(self, number: int) -> list[bytes]:
        width = min(WIDTH, self._log.size - number * WIDTH)
        data = self._files.tile(self._log.log_id, ENTRIES, number, width)
        try:
            return list(decode_bundle(data or b""))
        except ValueError:
            return []

    def _bundles(self) -> Iterator[bytes]:
        """The leaves as published, and as stored where nothing is published."""
        for index, stored in enumerate(self._rows()):
            number, within = divmod(index, WIDTH)
            if within == 0:
                bundle = self._bundle(number)
            yield bundle[within] if within < len(bundle) else stored

    def _voted(self) -> Iterator[bytes]:
        """Of stored and published leaf the one whose hash is in the published tile."""
        for index, (stored, published) in enumerate(zip(self._rows(), self._bundles(), strict=True)):
            number, within = divmod(index, WIDTH)
            if within == 0:
                width = min(WIDTH, self._log.size - number * WIDTH)
                tile = self._files.tile(self._log.log_id, "0", number, width) or b""
            hashed = tile[within * HASH_BYTES : (within + 1) * HASH_BYTES]
            yield published if leaf_hash(published) == hashed else stored

    def _rows_from(self, leaves: Leaves) -> list[Step]:
        differing = [
            (index, true)
            for index, (stored, true) in enumerate(zip(self._rows(), leaves(), strict=True))
            if stored != true
        ]
        restore = self._store.restore_leaf
        return [
            Step(
                self._log.log_id,
                f"leaf {index}, from its published bundle",
                "leaves",
                possible=True,
                do=partial(restore, self._log.log_id, index, true),
            )
            for index, true in differing
        ]

    def _frontier(self, leaves: Leaves) -> list[Step]:
        frontier = Frontier()
        frontier.extend(leaves())
        if self._store.frontier(self._log.log_id) == frontier.nodes:
            return []
        do = partial(self._store.restore_frontier, self._log.log_id, self._log.size, frontier.nodes)
        what = "the stored frontier, from the leaves"
        return [Step(self._log.log_id, what, "logs.frontier", possible=True, do=do)]

    def _derived(self, leaves: Leaves, head: Checkpoint) -> list[Step]:
        """Files and, after them, the published checkpoint."""
        published, steps = self._published(leaves, head), list[Step]()

        def mend(top: FileStore, name: str, expected: bytes) -> None:
            do = partial(top.write, f"{self._log.log_id}/{name}", expected)
            steps.append(Step(self._log.log_id, f"{name}, from the leaves", name, possible=True, do=do))

        size = head.size if published is None else published
        check = FileCheck(self._files.tops, self._log.log_id, size, lambda *_: None, mend)
        for leaf in leaves():
            check.add(leaf)
        check.finish()
        if published is None:
            place = self._files.hot / self._log.log_id / CHECKPOINT
            write = partial(write_durably, place, self._log.checkpoint.encode())
            what = "the published checkpoint, from the signed head"
            steps.append(Step(self._log.log_id, what, CHECKPOINT, possible=True, do=write))
        return steps

    def _published(self, leaves: Leaves, head: Checkpoint) -> int | None:
        """The published size; None where the published checkpoint is not one of these leaves."""
        try:
            note = self._files.checkpoint(self._log.log_id)
            if note is None:
                return None
            published = open_checkpoint(note, parse_vkey(self._log.vkey))
        except (Refused, UnicodeDecodeError):
            return None
        if published.size > head.size:
            return None
        root = _root(leaf for leaf, _ in zip(leaves(), range(published.size), strict=False))
        return published.size if root == (published.size, published.root) else None


def _root(leaves: Iterator[bytes]) -> tuple[int, bytes]:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.size, frontier.root()
