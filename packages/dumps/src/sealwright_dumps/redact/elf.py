"""What of an ELF core is kept: headers, where each thread stands, sanitised stacks, the list of libraries.

Sources: Linux elf_prstatus and elf_prpsinfo (include/linux/elfcore.h), siginfo. x86-64 and aarch64,
little-endian.
May never do: keep a vector register, a general register other than the program counter, stack and frame
pointers, an
argument, an environment variable or any of the heap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sealwright_dumps.errors import Malformed, Refused
from sealwright_dumps.formats import elf_core
from sealwright_dumps.formats.elf_core import PT_LOAD, Core, Note, ProgramHeader
from sealwright_dumps.layout import Layout
from sealwright_dumps.redact import linkmap
from sealwright_dumps.redact.keep import Piece, Range, Ranges, stack_words
from sealwright_dumps.redact.snapshot import Snapshot

X86_64, AARCH64 = 62, 183
STACK_BYTES = 1 << 20  # kept above each thread's stack pointer
RED_ZONE = 128
NT_FILE = 0x46494C45
_EXECUTABLE, _WRITABLE = 1, 2
_GENERAL = 112  # offset of the general registers in NT_PRSTATUS
_REGISTERS = {X86_64: {"pc": 16, "sp": 19, "fp": 4}, AARCH64: {"pc": 32, "sp": 31, "fp": 29}}
_REGISTER_COUNT = {X86_64: 27, AARCH64: 34}
_LINK = 30  # aarch64: the return address
_SIGINFO_KEPT = 24  # signal, errno, code, address or sender
_PAGE = 4096
_BUILD_ID = b"\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00"


@dataclass(frozen=True, slots=True)
class Thread:
    """Where one thread stood."""

    stack_pointer: int


def plan(snapshot: Snapshot, layout: Layout) -> Iterator[Piece]:
    """The pieces of the output. Raises Refused for a core of a kind that cannot be redacted safely."""
    core = elf_core.parse(snapshot.read, snapshot.size)
    if core.big_endian or core.word != 8 or core.machine not in _REGISTERS:
        raise Refused("not-redactable", "only little-endian x86-64 and aarch64 cores can be redacted")
    if len(core.headers) >= elf_core.PN_XNUM:
        raise Refused("not-redactable", "a core with this many segments cannot be redacted")
    found = elf_core.notes(core, snapshot.read)
    mapped = [r for note in found if note.kind == NT_FILE for r in _mapped(snapshot, note)]
    code = Ranges([*_executable(core), *mapped])
    places = Places(core.machine, code, Ranges(_written(core)))
    yield from _headers(snapshot, core)
    for note in found:
        yield from _note(snapshot, note, places)
    yield from _stacks(snapshot, core, _threads(snapshot, found, core), code)
    for header in core.headers:
        if header.kind == PT_LOAD and header.file_size and not header.flags & _WRITABLE:
            yield from _library_head(snapshot, header)
    auxiliary = next((snapshot.read(n.offset, n.size) for n in found if n.kind == 6), b"")
    yield from linkmap.pieces(linkmap.Memory(layout, snapshot.read), auxiliary)


@dataclass(frozen=True, slots=True)
class Places:
    """What a kept register may point to. A frame pointer is an ordinary register in most programs today."""

    machine: int
    code: Ranges
    written: Ranges

    def admits(self, value: int) -> bool:
        """Whether a register's value is an address of code or of the process's own memory."""
        return value in self.code or value in self.written


def _written(core: Core) -> Iterator[Range]:
    for header in core.headers:
        if header.kind == PT_LOAD and header.flags & _WRITABLE:
            yield Range(header.address, header.address + header.file_size)


def _executable(core: Core) -> Iterator[Range]:
    for header in core.headers:
        if header.kind == PT_LOAD and header.flags & _EXECUTABLE and not header.flags & _WRITABLE:
            yield Range(header.address, header.address + header.memory_size)


def _mapped(snapshot: Snapshot, note: Note) -> Iterator[Range]:
    """The mappings of files: debuggers leave code out of a core, but return addresses point into it."""
    raw = snapshot.read(note.offset, note.size)
    count = int.from_bytes(raw[:8], "little")
    for place in range(min(count, (len(raw) - 16) // 24)):
        start, end = struct.unpack_from("<QQ", raw, 16 + 24 * place)
        yield Range(start, end)


def _headers(snapshot: Snapshot, core: Core) -> Iterator[Piece]:
    head = bytearray(snapshot.read(0, 64))
    head[40:48] = bytes(8)  # no section headers
    head[58:64] = bytes(6)
    yield Piece(0, bytes(head), "ELF header")
    table = snapshot.read(core.table_offset, core.entry_size * len(core.headers))
    clean = bytearray(table)
    for at in range(0, len(table), core.entry_size):
        clean[at + 24 : at + 32] = bytes(8)  # physical addresses mean nothing here
    yield Piece(core.table_offset, bytes(clean), "program headers")


def _note(snapshot: Snapshot, note: Note, places: Places) -> Iterator[Piece]:
    name = len(note.owner) + 1
    padded = (name + 3) & ~3
    head = snapshot.read(note.offset - padded - 12, 12 + padded)
    if struct.unpack_from("<I", head)[0] != name or head[12:] != note.owner + bytes(padded - len(note.owner)):
        raise Malformed("note with an unusual name")
    if note.owner not in (b"CORE", b"LINUX", b"GDB"):
        raise Refused("unknown-note", "a note of an unknown owner", note.label)
    yield Piece(note.offset - padded - 12, head, "note header")
    raw = snapshot.read(note.offset, note.size)
    kept = _description(note, raw, places)
    if len(kept) != len(raw):
        raise Malformed(f"{note.label} of an unusual size")
    yield Piece(note.offset, kept, note.label)


def _description(note: Note, raw: bytes, places: Places) -> bytes:
    """A note's content with everything gone but what the allow-list names."""
    nothing = bytes(len(raw))
    if note.owner != b"CORE":
        return nothing
    if note.kind == 1:
        return _prstatus(raw, places)
    if note.kind == NT_FILE:
        return _files(raw)
    kept = {
        3: raw[:28] + nothing[28:40] + _program_name(raw[40:56]) + nothing[56:],
        6: raw,
        0x53494749: raw[:_SIGINFO_KEPT] + nothing[_SIGINFO_KEPT:],
    }
    return kept.get(note.kind, nothing)


def _program_name(raw: bytes) -> bytes:
    name = raw.split(b"\x00", 1)[0]
    return name.ljust(16, b"\x00") if linkmap.plain_path(name) else bytes(16)


def _prstatus(raw: bytes, places: Places) -> bytes:
    end = _GENERAL + 8 * _REGISTER_COUNT[places.machine]
    if len(raw) < end:
        raise Malformed("NT_PRSTATUS of an unusual size")
    kept = set(_REGISTERS[places.machine].values()) | ({_LINK} if places.machine == AARCH64 else set())
    values = struct.unpack_from(f"<{_REGISTER_COUNT[places.machine]}Q", raw, _GENERAL)
    clean = [value if place in kept and places.admits(value) else 0 for place, value in enumerate(values)]
    head = (
        raw[:16] + bytes(16) + raw[32:48] + bytes(_GENERAL - 48)
    )  # signal and process numbers; no masks, no times
    return head + struct.pack(f"<{len(clean)}Q", *clean) + bytes(len(raw) - end)


def _files(raw: bytes) -> bytes:
    """NT_FILE: the table of addresses, and the paths that are plain; another path becomes question marks."""
    if len(raw) < 16:
        raise Malformed("NT_FILE of an unusual size")
    count = struct.unpack_from("<Q", raw)[0]
    table = 16 + 24 * count
    if count > 1 << 20 or table > len(raw):
        raise Malformed("NT_FILE whose count does not fit")
    names = raw[table:].split(b"\x00")
    clean = [name if linkmap.plain_path(name) else b"?" * len(name) for name in names]
    return raw[:table] + b"\x00".join(clean)


def _threads(snapshot: Snapshot, found: list[Note], core: Core) -> list[Thread]:
    place = _GENERAL + 8 * _REGISTERS[core.machine]["sp"]
    statuses = (snapshot.read(note.offset, note.size) for note in found if note.kind == 1)
    return [Thread(int.from_bytes(raw[place : place + 8], "little")) for raw in statuses]


def _stacks(snapshot: Snapshot, core: Core, threads: list[Thread], code: Ranges) -> Iterator[Piece]:
    for thread in threads:
        pointer = thread.stack_pointer
        for header in core.headers:
            inside = header.address <= pointer < header.address + header.file_size
            if header.kind != PT_LOAD or not inside or not header.flags & _WRITABLE:
                continue
            low = max(header.address, (pointer - RED_ZONE) & ~7)
            high = min(header.address + header.file_size, (pointer & ~7) + STACK_BYTES)
            offset = header.offset + low - header.address
            stack = Range(header.address, header.address + header.file_size)
            yield Piece(offset, stack_words(snapshot.read(offset, high - low), stack, code), "stack")


def _library_head(snapshot: Snapshot, header: ProgramHeader) -> Iterator[Piece]:
    """Of a mapped library: its ELF header, program headers and build id, so that a debugger finds the same
    file.
    """
    page = snapshot.read(header.offset, min(_PAGE, header.file_size))
    if not elf_core.is_elf(page) or len(page) < _PAGE or page[4] != 2:
        return
    table, size, count = struct.unpack_from("<Q14xHH", page, 32)
    if size != 56 or table != 64 or table + size * count > _PAGE:
        return
    yield Piece(header.offset, page[: table + size * count], "library header")
    at = page.find(_BUILD_ID)
    if 0 <= at <= _PAGE - len(_BUILD_ID) - 20:
        yield Piece(header.offset + at, page[at : at + len(_BUILD_ID) + 20], "build id")
