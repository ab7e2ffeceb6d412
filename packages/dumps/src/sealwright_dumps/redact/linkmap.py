"""The list of loaded libraries in a core, which a debugger needs to name frames: r_debug and its link_map.

Source: glibc elf/link.h. Every pointer comes from the dump, so each is checked and the walk is bounded. May
never do:
keep a string that is not a path, or a structure that is not made of addresses.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sealwright_dumps.layout import Layout
from sealwright_dumps.redact.keep import Piece

_AT_PHDR, _AT_PHNUM = 3, 5
_PT_PHDR, _PT_DYNAMIC = 6, 2
_DT_DEBUG = 21
_MOST_LIBRARIES = 4096
_MOST_DYNAMIC = 128
_LINK_MAP, _R_DEBUG = 40, 40
_PATH = re.compile(rb"\A[A-Za-z0-9_./+@:,=~-]{0,255}\Z")
_LONGEST_PART = 64

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Memory:
    """Reads by address."""

    layout: Layout
    read: Read

    def offset(self, address: int, length: int) -> int:
        """The file offset of these bytes, or -1."""
        return self.layout.offset_of(address, length)

    def get(self, address: int, length: int) -> bytes:
        """The bytes, or nothing when the dump has them not."""
        offset = self.offset(address, length)
        return self.read(offset, length) if offset >= 0 else b""

    def piece(self, address: int, length: int, why: str) -> Iterator[Piece]:
        """These bytes as a piece of the output, where the dump has them."""
        offset = self.offset(address, length)
        if offset >= 0:
            yield Piece(offset, self.read(offset, length), why)


def pieces(memory: Memory, auxiliary: bytes) -> Iterator[Piece]:
    """The dynamic section of the program, r_debug, and each link_map with its path."""
    values = dict(struct.iter_unpack("<QQ", auxiliary[: len(auxiliary) & ~15]))
    headers = memory.get(values.get(_AT_PHDR, 0), 56 * min(values.get(_AT_PHNUM, 0), 64))
    base, dynamic, size = 0, 0, 0
    for at in range(0, len(headers), 56):
        kind, _, _, address, _, _, length, _ = struct.unpack_from("<IIQQQQQQ", headers, at)
        if kind == _PT_PHDR:
            base = values[_AT_PHDR] - address
        elif kind == _PT_DYNAMIC:
            dynamic, size = address, min(length, 16 * _MOST_DYNAMIC) & ~15
    if not dynamic or base < 0:
        return
    yield from memory.piece(base + dynamic, size, "dynamic section")
    debug = dict(struct.iter_unpack("<QQ", memory.get(base + dynamic, size))).get(_DT_DEBUG, 0)
    raw = memory.get(debug, _R_DEBUG)
    if len(raw) == _R_DEBUG:
        yield from memory.piece(debug, _R_DEBUG, "r_debug")
        yield from _libraries(memory, int.from_bytes(raw[8:16], "little"))


def _libraries(memory: Memory, first: int) -> Iterator[Piece]:
    seen: set[int] = set()
    address = first
    while address and address not in seen and len(seen) < _MOST_LIBRARIES:
        seen.add(address)
        raw = memory.get(address, _LINK_MAP)
        if len(raw) != _LINK_MAP:
            return
        _, name, _, following, _ = struct.unpack("<5Q", raw)
        if any(word >> 47 for word in struct.unpack("<5Q", raw)):
            return  # not a structure of addresses
        yield from memory.piece(address, _LINK_MAP, "link_map")
        yield from _path(memory, name)
        address = following


def _path(memory: Memory, address: int) -> Iterator[Piece]:
    for length in (256, 64, 16):
        text = memory.get(address, length)
        if text:
            break
    path, found, _ = text.partition(b"\x00")
    if found and plain_path(path):
        yield from memory.piece(address, len(path) + 1, "library path")


def plain_path(path: bytes) -> bool:
    """Whether it is a path as libraries have them: plain characters, no part long enough to hold a key."""
    return bool(_PATH.match(path)) and all(len(part) <= _LONGEST_PART for part in path.split(b"/"))
