"""Reads one log from where it was read to, up to a signed head, and finds out what is wrong where it does not
fit.

Bundles are fetched ahead in threads, hashed and judged in one. May never call a leaf verified before the root
over it is the signed one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sealwright.errors import Unavailable
from sealwright.ledger.merkle import leaf_hash
from sealwright.ledger.proofs import Tree
from sealwright.ledger.tiles import WIDTH, decode_bundle, tile_path
from sealwright.monitor.again import Again
from sealwright.monitor.leaves import LeafAudit
from sealwright.monitor.model import Broken, Code, Tally
from sealwright.monitor.tree import ReadTree
from sealwright_validate.errors import Refused
from sealwright_validate.merkle import HASH_BYTES, require_consistency
from sealwright_validate.note import Checkpoint

AHEAD = 32
"""Bundles that are fetched at once."""
Find = Callable[[str], bytes | None]
"""The body of a file below the log's own address, None where there is none; raises Unavailable."""
Progress = Callable[[int], None]
"""Called with the number of leaves read so far, now and then."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log was read: its tree and what its entries said."""

    tree: ReadTree
    audit: LeafAudit


@dataclass(frozen=True, slots=True)
class Mark:
    """A head that somebody else has seen: a witness, or the log list."""

    size: int
    root: bytes
    who: str


class Reader:
    """Reads bundles and tiles."""

    def __init__(self, find: Find, pool: ThreadPoolExecutor, tally: Tally) -> None:
        self._find = find
        self._pool = pool
        self._tally = tally

    def advance(
        self, position: Position, head: Checkpoint, marks: Mapping[int, Mark], progress: Progress
    ) -> Position:
        """The position at `head`, with what was found on the way in its audit.

        Args:
            position: how far the log was read.
            head: the signed head.
            marks: heads in between, by size, that others say they have seen.
            progress: told how far it is.

        Raises:
            Broken: `gap`, `split_view`, `entry_edited` or `tree_damaged`.
            Unavailable: no answer.
        """
        tree, audit = position.tree.copy(), position.audit.copy()
        missed: list[Mark] = []
        for leaves in self._parts(tree.size, head.size, sorted(marks)):
            audit.read(tree.size, leaves)
            tree.extend(leaves)
            mark = marks.get(tree.size)
            if mark is not None and mark.root != tree.root():
                missed.append(mark)
            progress(tree.size)
        if tree.root() != head.root:
            raise self._diagnosis(position.tree, head)
        if missed:
            raise Broken(Code.SPLIT_VIEW, f"{missed[0].who} has seen another tree of {missed[0].size} leaves")
        self._tally.leaves += head.size - position.tree.size
        self._tally.tokens += audit.tokens
        return Position(tree, audit)

    def _parts(self, start: int, end: int, marks: Sequence[int]) -> Iterator[list[bytes]]:
        """The bundles, cut where there is a mark."""
        at = start
        for bundle in self._bundles(start, end):
            cuts = [mark for mark in marks if at < mark < at + len(bundle)]
            begin = 0
            for cut in [*(mark - at for mark in cuts), len(bundle)]:
                yield bundle[begin:cut] if cuts else bundle
                begin = cut
            at += len(bundle)

    def _bundles(self, start: int, end: int) -> Iterator[list[bytes]]:
        """The entries from `start` to `end`, a bundle or the rest of one at a time."""
        numbers = range(start // WIDTH, (end + WIDTH - 1) // WIDTH)
        for begin in range(0, len(numbers), AHEAD):
            ahead = numbers[begin : begin + AHEAD]
            widths = [min(WIDTH, end - number * WIDTH) for number in ahead]
            for number, entries in zip(ahead, self._pool.map(self.entries, ahead, widths), strict=True):
                yield entries[start - number * WIDTH :] if number * WIDTH < start else entries

    def entries(self, number: int, width: int) -> list[bytes]:
        """The first `width` entries of a bundle.

        Raises:
            Broken: `gap`.
            Unavailable: no answer.
        """
        data = self._file("entries", number, width)
        if data is None:
            raise Broken(Code.GAP, f"bundle {number} is not served", number * WIDTH)
        self._tally.bytes += len(data)
        found: list[bytes] = []
        try:
            for entry in decode_bundle(data):
                found.append(entry)
                if len(found) == width:
                    return found
        except ValueError:
            pass  # the bundle ends inside an entry: what is there is too short, which is said below
        raise Broken(Code.GAP, f"bundle {number} is cut short", number * WIDTH + len(found))

    def again(self, head: Checkpoint) -> Again:
        """Looks at what was read up to this head before."""
        return Again(self._file, self.entries, head)

    def _file(self, kind: str, number: int, width: int) -> bytes | None:
        name = f"tile/{kind}/{tile_path(number)}"
        if width < WIDTH:
            partial = self._find(f"{name}.p/{width}")
            if partial is not None:
                return partial
        return self._find(name)  # a partial file goes once its tile is full

    def _diagnosis(self, before: ReadTree, head: Checkpoint) -> Broken:
        """What is wrong when the entries do not lead to the signed root."""
        tree = Tree(lambda level, number, width: self._file(str(level), number, width))
        try:
            if tree.root(head.size) != head.root:
                return Broken(Code.TREE_DAMAGED, f"neither entries nor tiles lead to the head of {head.size}")
            if before.size:
                proof = tree.consistency(before.size, head.size)
                require_consistency(before.size, head.size, before.root(), head.root, proof)
        except Refused:
            detail = f"the head of {head.size} leaves does not contain the {before.size} seen before"
            return Broken(Code.SPLIT_VIEW, detail)
        except Unavailable as error:
            return Broken(Code.GAP, f"the entries do not lead to the head, and {error.detail}")
        index = self._first_edited(before.size, head.size)
        detail = "an entry is not the one in the signed tree"
        return Broken(Code.ENTRY_EDITED, detail, index)

    def _first_edited(self, start: int, size: int) -> int | None:
        for number in range(start // WIDTH, (size + WIDTH - 1) // WIDTH):
            width = min(WIDTH, size - number * WIDTH)
            hashes = self._file("0", number, width) or b""
            for offset, entry in enumerate(self.entries(number, width)):
                if hashes[offset * HASH_BYTES : (offset + 1) * HASH_BYTES] != leaf_hash(entry):
                    return number * WIDTH + offset
        return None
