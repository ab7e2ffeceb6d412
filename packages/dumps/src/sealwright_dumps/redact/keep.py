"""The allow-list: which bytes of a dump may be in a redacted one.

The rule for words of a stack is Breakpad's (linux_dumper.cc, SanitizeStackCopy): small numbers, addresses
within the
same stack, addresses of code. May never do: keep a word because it looks harmless in some other way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

DEFACED = 0x0DEFACED0DEFACED
SMALL = 4096
_TOP = 1 << 64


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that the output has at `offset`. Everything that no piece covers is zero."""

    offset: int
    data: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end) of addresses."""

    start: int
    end: int


class Ranges:
    """A set of address ranges."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        merged: list[Range] = []
        for item in sorted(ranges, key=lambda r: r.start):
            if merged and item.start <= merged[-1].end:
                merged[-1] = Range(merged[-1].start, max(merged[-1].end, item.end))
            elif item.end > item.start:
                merged.append(item)
        self._starts = [item.start for item in merged]
        self._ends = [item.end for item in merged]

    def __contains__(self, address: int) -> bool:
        place = bisect_right(self._starts, address) - 1
        return place >= 0 and address < self._ends[place]


def stack_words(data: bytes, stack: Range, code: Ranges) -> bytes:
    """A stack's words: each is kept if it is small, points into this stack or into code; otherwise
    defaced.
    """
    size = len(data) & ~7
    words = memoryview(data)[:size].cast("Q")
    kept = [_kept(word, stack, code) for word in words]
    return b"".join(word.to_bytes(8, "little") for word in kept) + bytes(len(data) - size)


def _kept(word: int, stack: Range, code: Ranges) -> int:
    if word <= SMALL or word >= _TOP - SMALL or stack.start <= word < stack.end or word in code:
        return word
    return DEFACED


def without(pieces: Iterable[Piece], spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """The pieces with every byte of `spans` (findings and their margins, in file offsets) made zero."""
    ordered = sorted(spans)
    for piece in pieces:
        end = piece.offset + len(piece.data)
        touching = [(low, high) for low, high in ordered if low < end and high > piece.offset]
        if not touching:
            yield piece
            continue
        data = bytearray(piece.data)
        for low, high in touching:
            first, last = max(low, piece.offset) - piece.offset, min(high, end) - piece.offset
            data[first:last] = bytes(last - first)
        yield Piece(piece.offset, bytes(data), piece.why)
