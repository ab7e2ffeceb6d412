"""Writes the containers that plants go into: ELF cores with notes, minidumps, raw files, compressed streams.

May never do: imitate a container so loosely that only our own parser reads it; gdb and pyelftools open the
cores.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = 4096
XSTATE_SIZE = 2696
_X86_64 = 62


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of memory, and where in the file it goes relative to others (`rank`)."""

    address: int
    data: bytes
    rank: int = 0
    flags: int = 6


def note(kind: int, data: bytes, owner: bytes = b"CORE\x00") -> bytes:
    """One ELF note."""
    head = struct.pack("<III", len(owner), len(data), kind)
    return head + owner + bytes(-len(owner) % 4) + data + bytes(-len(data) % 4)


def xstate(registers: Sequence[bytes]) -> bytes:
    """The NT_X86_XSTATE of a thread whose 256-bit registers hold these values."""
    area = bytearray(XSTATE_SIZE)
    area[464:472] = struct.pack("<Q", 0xE7)  # the feature mask that Linux puts into the software bytes
    area[512:520] = struct.pack("<Q", 0xE7)
    for place, value in enumerate(registers):
        area[160 + 16 * place : 176 + 16 * place] = value[:16]
        area[576 + 16 * place : 592 + 16 * place] = value[16:32]
    return bytes(area)


def status(general: Sequence[int] = (), pid: int = 1) -> bytes:
    """The NT_PRSTATUS of an x86-64 thread."""
    values = [*general, *[0] * (27 - len(general))][:27]
    body = bytearray(112) + struct.pack("<27Q", *values) + bytes(8)
    body[32:36] = struct.pack("<I", pid)
    return bytes(body)


def elf_core(regions: Sequence[Region], notes: bytes = b"") -> bytes:
    """A little-endian 64-bit core. Headers go by address, contents by rank."""
    by_address = sorted(regions, key=lambda region: region.address)
    count = len(regions) + 1
    at = 64 + 56 * count
    notes_at = at
    at += len(notes)
    places: dict[int, int] = {}
    body = bytearray(notes)
    for region in sorted(regions, key=lambda region: (region.rank, region.address)):
        padding = -at % PAGE
        places[region.address] = at + padding
        body += bytes(padding) + region.data
        at += padding + len(region.data)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 4, _X86_64, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    table = struct.pack("<IIQQQQQQ", 4, 0, notes_at, 0, 0, len(notes), 0, 1)
    for region in by_address:
        size = len(region.data)
        table += struct.pack(
            "<IIQQQQQQ", 1, region.flags, places[region.address], region.address, 0, size, size, PAGE
        )
    return head + table + bytes(body)


def minidump(regions: Sequence[Region], contexts: Sequence[bytes] = (), *, wide: bool = True) -> bytes:
    """A minidump with a thread per context and the memory as Memory64List (wide) or MemoryList."""
    streams = 2
    at = 32 + 12 * streams
    threads = struct.pack("<I", len(contexts))
    threads_at, memory_at = at, at + 4 + 48 * len(contexts)
    list_size = 16 + 16 * len(regions) if wide else 4 + 16 * len(regions)
    data_at = memory_at + list_size
    tail = b""
    for place, context in enumerate(contexts):
        threads += struct.pack(
            "<IIIIQQIIII", place + 1, 0, 0, 0, 0, 0, 0, 0, len(context), data_at + len(tail)
        )
        tail += context
    base = data_at + len(tail)
    if wide:
        memory = struct.pack("<QQ", len(regions), base)
        memory += b"".join(struct.pack("<QQ", region.address, len(region.data)) for region in regions)
    else:
        memory, place = struct.pack("<I", len(regions)), base
        for region in regions:
            memory += struct.pack("<QII", region.address, len(region.data), place)
            place += len(region.data)
    head = b"MDMP\x93\xa7\x00\x00" + struct.pack("<IIIIQ", streams, 32, 0, 0, 2)
    table = struct.pack("<III", 3, len(threads), threads_at)
    table += struct.pack("<III", 9 if wide else 5, list_size, memory_at)
    return head + table + threads + memory + tail + b"".join(region.data for region in regions)
