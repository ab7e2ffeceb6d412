"""Where a container's bytes stand in the memory of the process that it was taken from.

May never do: map an address to a byte that the file does not have.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Format(StrEnum):
    """What a file is."""

    ELF_CORE = "elf-core"
    ELF = "elf"
    MINIDUMP = "minidump"
    RAW = "raw"
    TEXT = "text"
    EMPTY = "empty"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    ZIP = "zip"
    TAR = "tar"
    LZ4 = "lz4"
    UNKNOWN_ARCHIVE = "unknown-archive"


@dataclass(frozen=True, slots=True)
class Segment:
    """`size` bytes at `offset` of the file, which the process had at `address` (0: not memory)."""

    offset: int
    size: int
    address: int
    name: str


@dataclass(slots=True)
class Layout:
    """The segments of one file, for names and for pointers."""

    format: Format
    segments: list[Segment] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    truncated: bool = False
    big_endian: bool = False
    word: int = 8
    _by_offset: list[int] = field(default_factory=list)
    _by_address: list[int] = field(default_factory=list)
    _memory: list[Segment] = field(default_factory=list)

    def finish(self, segments: Iterable[Segment]) -> None:
        """Take the segments in and index them."""
        self.segments = sorted(segments, key=lambda s: (s.offset, s.size))
        self._by_offset = [segment.offset for segment in self.segments]
        self._memory = sorted((s for s in self.segments if s.address), key=lambda s: s.address)
        self._by_address = [segment.address for segment in self._memory]

    @property
    def memory(self) -> list[Segment]:
        """The segments that are memory, by address."""
        return self._memory

    def name_at(self, offset: int) -> str:
        """The name of the segment that holds this byte of the file, or empty."""
        place = bisect_right(self._by_offset, offset) - 1
        for segment in reversed(self.segments[max(0, place - 3) : place + 1]):
            if segment.offset <= offset < segment.offset + segment.size:
                return segment.name
        return ""

    def is_writable(self, offset: int) -> bool:
        """Whether this byte was in memory that the process could write, or may have been: not a constant."""
        name = self.name_at(offset)
        return not name.startswith("load ") or "w" in name.split(" ")[2]

    def offset_of(self, address: int, length: int) -> int:
        """The file offset of `length` bytes at an address, or -1 when the file has them not all in one
        segment.
        """
        place = bisect_right(self._by_address, address) - 1
        if place < 0:
            return -1
        segment = self._memory[place]
        inside = address - segment.address
        return segment.offset + inside if inside + length <= segment.size else -1

    def shifts(self) -> tuple[int, ...]:
        """Where words of memory start in the file, modulo eight. Debuggers do not always align segments."""
        found = {(segment.offset - segment.address) % 8 for segment in self._memory}
        return tuple(sorted(found)) or (0,)

    def seams(self) -> list[tuple[Segment, Segment]]:
        """Neighbours in memory that are no neighbours in the file: a key may lie over the seam."""
        pairs = zip(self._memory, self._memory[1:], strict=False)
        return [
            (left, right)
            for left, right in pairs
            if left.address + left.size == right.address and left.offset + left.size != right.offset
        ]
