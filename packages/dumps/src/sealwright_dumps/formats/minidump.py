"""Reads the layout of a Windows minidump: memory ranges, threads, modules.

Source: Microsoft minidumpapiset.h (MINIDUMP_HEADER, MINIDUMP_DIRECTORY, MINIDUMP_MEMORY_DESCRIPTOR(64),
MINIDUMP_THREAD). May never do: trust an RVA or a count; both are checked against the file's size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from sealwright_dumps.errors import Malformed
from sealwright_dumps.layout import Format, Layout, Segment

MAGIC = b"MDMP"
THREADS, MODULES, MEMORY, EXCEPTION, SYSTEM, THREADS_EX, MEMORY64 = 3, 4, 5, 6, 7, 8, 9
STREAM_NAMES = {
    THREADS: "ThreadList",
    MODULES: "ModuleList",
    MEMORY: "MemoryList",
    EXCEPTION: "Exception",
    SYSTEM: "SystemInfo",
    THREADS_EX: "ThreadExList",
    MEMORY64: "Memory64List",
    10: "CommentA",
    11: "CommentW",
    12: "HandleData",
    13: "FunctionTable",
    14: "UnloadedModuleList",
    15: "MiscInfo",
    16: "MemoryInfoList",
    17: "ThreadInfoList",
    0x47670001: "BreakpadInfo",
    0x47670003: "LinuxCpuInfo",
    0x47670004: "LinuxProcStatus",
    0x47670006: "LinuxCmdLine",
    0x47670007: "LinuxEnviron",
    0x47670008: "LinuxAuxv",
    0x47670009: "LinuxMaps",
    0x4767000A: "LinuxDSODebug",
}
MOST_STREAMS = 4096
MOST_RANGES = 1 << 20
THREAD_SIZE = 48
LARGEST_LIST = 64 << 20

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Stream:
    """One entry of the directory."""

    kind: int
    size: int
    rva: int

    @property
    def name(self) -> str:
        """MemoryList, or the number of an unknown one."""
        return STREAM_NAMES.get(self.kind, f"stream 0x{self.kind:x}")


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: where its entry, its register context and its stack stand in the file."""

    number: int
    entry: int
    stack_address: int
    stack_size: int
    stack_rva: int
    context_size: int
    context_rva: int


def directory(read: Read, size: int) -> list[Stream]:
    """The streams. Raises Malformed."""
    head = read(0, 32)
    if len(head) < 32 or head[:4] != MAGIC or head[4:6] != b"\x93\xa7":
        raise Malformed("not a minidump header")
    count, rva = struct.unpack_from("<II", head, 8)
    if count > MOST_STREAMS or rva + 12 * count > size:
        raise Malformed("stream directory outside the file")
    raw = read(rva, 12 * count)
    if len(raw) != 12 * count:
        raise Malformed("stream directory cut off")
    streams = [Stream(*struct.unpack_from("<III", raw, 12 * place)) for place in range(count)]
    for stream in streams:
        if stream.kind and stream.rva + stream.size > size and stream.kind != MEMORY64:
            raise Malformed(f"{stream.name} outside the file")
    return [stream for stream in streams if stream.kind]


def content(read: Read, stream: Stream) -> bytes:
    """All bytes of a list's stream. Raises Malformed when there are fewer, or more than any real one has."""
    if not 4 <= stream.size <= LARGEST_LIST:
        raise Malformed(f"{stream.name} of an absurd size")
    raw = read(stream.rva, stream.size)
    if len(raw) != stream.size:
        raise Malformed(f"{stream.name} cut off")
    return raw


def threads(read: Read, stream: Stream, size: int) -> list[Thread]:
    """The threads. Raises Malformed."""
    raw = content(read, stream)
    count = int.from_bytes(raw[:4], "little")
    first = _padding(stream.size, count, THREAD_SIZE)
    found: list[Thread] = []
    for place in range(count):
        at = first + THREAD_SIZE * place
        number, stack, stack_size, stack_rva, context_size, context = struct.unpack_from(
            "<I20xQIIII", raw, at
        )
        if stack_rva + stack_size > size or context + context_size > size:
            raise Malformed("a thread's stack or context outside the file")
        found.append(Thread(number, stream.rva + at, stack, stack_size, stack_rva, context_size, context))
    return found


def _padding(size: int, count: int, entry: int) -> int:
    """Where entries start after the count: some writers align them to eight."""
    for first in (4, 8):
        if first + count * entry == size:
            return first
    if count * entry + 4 > size or count > MOST_RANGES:
        raise Malformed("a list's count does not fit its stream")
    return 4


def memory(read: Read, stream: Stream, size: int) -> tuple[list[Segment], bool]:
    """The memory ranges of a MemoryList or Memory64List, and whether the file is cut off. Raises
    Malformed.
    """
    if stream.kind == MEMORY64:
        return _memory64(read, stream, size)
    raw = content(read, stream)
    count = int.from_bytes(raw[:4], "little")
    first = _padding(stream.size, count, 16)
    segments: list[Segment] = []
    for place in range(count):
        address, length, rva = struct.unpack_from("<QII", raw, first + 16 * place)
        if rva + length > size:
            raise Malformed("a memory range outside the file")
        segments.append(Segment(rva, length, address, f"memory 0x{address:x}"))
    return segments, False


def _memory64(read: Read, stream: Stream, size: int) -> tuple[list[Segment], bool]:
    head = read(stream.rva, 16)
    if len(head) < 16:
        raise Malformed("memory64 list cut off")
    count, rva = struct.unpack_from("<QQ", head)
    if count > MOST_RANGES or stream.rva + 16 + 16 * count > size:
        raise Malformed("memory64 list outside the file")
    raw = read(stream.rva + 16, 16 * count)
    if len(raw) != 16 * count:
        raise Malformed("memory64 list cut off")
    segments: list[Segment] = []
    truncated = False
    for address, length in struct.iter_unpack("<QQ", raw):
        available = max(0, min(length, size - rva))
        truncated |= available < length
        if available:
            segments.append(Segment(rva, available, address, f"memory 0x{address:x}"))
        rva += length
    return segments, truncated


def layout(read: Read, size: int) -> Layout:
    """The layout, with a reason for each thing that is not as it should be. Raises Malformed."""
    result = Layout(Format.MINIDUMP)
    segments: list[Segment] = []
    for stream in directory(read, size):
        segments.append(Segment(stream.rva, min(stream.size, size - stream.rva), 0, stream.name))
        if stream.kind == THREADS:
            for thread in threads(read, stream, size):
                name = f"registers thread {thread.number}"
                segments.append(Segment(thread.context_rva, thread.context_size, 0, name))
        if stream.kind in (MEMORY, MEMORY64):
            ranges, truncated = memory(read, stream, size)
            segments += ranges
            result.truncated |= truncated
    if result.truncated:
        result.reasons.append("truncated: the memory list promises more bytes than the file has")
    result.finish(segment for segment in segments if segment.size > 0)
    return result
