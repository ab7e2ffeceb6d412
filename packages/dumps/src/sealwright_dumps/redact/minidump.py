"""What of a minidump is kept: directory, threads, modules, system, exception, sanitised stacks.

Source: Microsoft minidumpapiset.h and winnt.h (CONTEXT of x86-64). May never do: keep a register other than
instruction,
stack and frame pointers, a handle, an environment, a comment or any memory but sanitised stacks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sealwright_dumps.errors import Malformed, Refused
from sealwright_dumps.formats import minidump
from sealwright_dumps.formats.minidump import Stream, Thread
from sealwright_dumps.layout import Layout
from sealwright_dumps.redact.elf import RED_ZONE, STACK_BYTES
from sealwright_dumps.redact.keep import Piece, Range, Ranges, stack_words
from sealwright_dumps.redact.linkmap import plain_path
from sealwright_dumps.redact.snapshot import Snapshot

_CONTEXT_SIZE = 1232
_FLAGS = 0x30
_POINTERS = (0x98, 0xA0, 0xF8)  # rsp, rbp, rip
_RSP = 0x98
_MODULE_SIZE = 108
_MOST_MODULES = 1 << 16
_SYSTEM_KEPT = 24  # processor, version and platform numbers
_EXCEPTION_KEPT = 40  # thread, code, flags, record, address, parameter count


def plan(snapshot: Snapshot, layout: Layout) -> Iterator[Piece]:
    """The pieces of the output. Raises Refused for a minidump that cannot be redacted safely."""
    streams = minidump.directory(snapshot.read, snapshot.size)
    head = snapshot.read(0, 32)
    rva = struct.unpack_from("<I", head, 12)[0]
    count = struct.unpack_from("<I", head, 8)[0]
    yield Piece(0, head, "header")
    yield Piece(rva, snapshot.read(rva, 12 * count), "directory")
    modules = [piece for s in streams if s.kind == minidump.MODULES for piece in _modules(snapshot, s)]
    yield from modules
    code = Ranges(_ranges(modules))
    for stream in streams:
        if stream.kind == minidump.THREADS:
            yield Piece(stream.rva, _thread_entries(snapshot, stream), "threads")
            for thread in minidump.threads(snapshot.read, stream, snapshot.size):
                yield from _thread(snapshot, layout, thread, code)
        elif stream.kind in (minidump.MEMORY, minidump.MEMORY64):
            yield Piece(stream.rva, snapshot.read(stream.rva, stream.size), "memory list")
        elif stream.kind == minidump.SYSTEM:
            yield Piece(stream.rva, snapshot.read(stream.rva, min(stream.size, _SYSTEM_KEPT)), "system")
        elif stream.kind == minidump.EXCEPTION:
            yield Piece(stream.rva, snapshot.read(stream.rva, min(stream.size, _EXCEPTION_KEPT)), "exception")


def _thread_entries(snapshot: Snapshot, stream: Stream) -> bytes:
    raw = minidump.content(snapshot.read, stream)
    if len(raw) > 4 + minidump.THREAD_SIZE * (1 << 16):
        raise Refused("not-redactable", "more threads than any real process")
    return raw


def _thread(snapshot: Snapshot, layout: Layout, thread: Thread, code: Ranges) -> Iterator[Piece]:
    raw = snapshot.read(thread.context_rva, thread.context_size)
    if len(raw) != _CONTEXT_SIZE:
        return  # of another processor: nothing of it is kept
    kept = bytearray(_CONTEXT_SIZE)
    kept[_FLAGS : _FLAGS + 4] = raw[_FLAGS : _FLAGS + 4]
    memory = Ranges(Range(s.address, s.address + s.size) for s in layout.memory)
    for at in _POINTERS:
        value = int.from_bytes(raw[at : at + 8], "little")
        if value in code or value in memory:
            kept[at : at + 8] = raw[at : at + 8]
    yield Piece(thread.context_rva, bytes(kept), "registers")
    pointer = int.from_bytes(raw[_RSP : _RSP + 8], "little")
    for segment in layout.memory:
        if segment.address <= pointer < segment.address + segment.size:
            low = max(segment.address, (pointer - RED_ZONE) & ~7)
            high = min(segment.address + segment.size, (pointer & ~7) + STACK_BYTES)
            offset = segment.offset + low - segment.address
            stack = Range(segment.address, segment.address + segment.size)
            yield Piece(offset, stack_words(snapshot.read(offset, high - low), stack, code), "stack")


def _modules(snapshot: Snapshot, stream: Stream) -> Iterator[Piece]:
    raw = minidump.content(snapshot.read, stream)
    count = int.from_bytes(raw[:4], "little")
    first = len(raw) - _MODULE_SIZE * count
    if count > _MOST_MODULES or first not in (4, 8):
        raise Malformed("module list whose count does not fit")
    kept = bytearray(raw)
    for at in range(first, len(raw), _MODULE_SIZE):
        kept[at + 24 : at + 76] = bytes(52)  # version information is text of the module's maker
        kept[at + 84 : at + 108] = bytes(24)
        name = int.from_bytes(raw[at + 20 : at + 24], "little")
        yield from _name(snapshot, name)
    yield Piece(stream.rva, bytes(kept), "modules")


def _ranges(pieces: list[Piece]) -> Iterator[Range]:
    for piece in pieces:
        if piece.why == "modules":
            first = 4 if (len(piece.data) - 4) % _MODULE_SIZE == 0 else 8
            for at in range(first, len(piece.data), _MODULE_SIZE):
                base, size = struct.unpack_from("<QI", piece.data, at)
                yield Range(base, base + size)


def _name(snapshot: Snapshot, rva: int) -> Iterator[Piece]:
    size = int.from_bytes(snapshot.read(rva, 4), "little")
    if size > 2048 or size % 2:
        return
    raw = snapshot.read(rva, 4 + size)
    text = raw[4:].decode("utf-16le", errors="replace").replace("\\", "/").replace(" ", "_")
    if len(raw) == 4 + size and plain_path(text.encode("ascii", errors="replace")[:255]):
        yield Piece(rva, raw, "module name")
