"""Reads the layout of an ELF core: program headers, notes, registers. 32 and 64 bit, both byte orders.

Sources: System V ABI chapter 4 and 5, Linux fs/binfmt_elf.c, include/uapi/linux/elf.h.
May never do: trust an offset, a size or a count; a field outside the file is a reason, never an exception for
callers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sealwright_dumps.errors import Malformed
from sealwright_dumps.layout import Format, Layout, Segment

ET_CORE, PT_LOAD, PT_NOTE, PN_XNUM = 4, 1, 4, 0xFFFF
MOST_SEGMENTS = 1 << 18
MOST_NOTES = 1 << 17
LARGEST_NOTES = 64 << 20
NOTE_NAMES = {
    1: "NT_PRSTATUS",
    2: "NT_FPREGSET",
    3: "NT_PRPSINFO",
    4: "NT_TASKSTRUCT",
    6: "NT_AUXV",
    0x53494749: "NT_SIGINFO",
    0x46494C45: "NT_FILE",
    0x46E62B7F: "NT_PRXFPREG",
    0x200: "NT_386_TLS",
    0x201: "NT_386_IOPERM",
    0x202: "NT_X86_XSTATE",
    0x204: "NT_X86_SHSTK",
    0x205: "NT_X86_XSAVE_LAYOUT",
    0x400: "NT_ARM_VFP",
    0x401: "NT_ARM_TLS",
    0x402: "NT_ARM_HW_BREAK",
    0x403: "NT_ARM_HW_WATCH",
    0x404: "NT_ARM_SYSTEM_CALL",
    0x405: "NT_ARM_SVE",
    0x406: "NT_ARM_PAC_MASK",
}

Read = Callable[[int, int], bytes]  # (offset, length) -> up to that many bytes


@dataclass(frozen=True, slots=True)
class ProgramHeader:
    """One entry of the program header table, and where it stands in the file."""

    at: int
    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class Note:
    """One note: its owner, its type, and where its descriptor stands in the file."""

    owner: bytes
    kind: int
    offset: int
    size: int
    thread: int

    @property
    def label(self) -> str:
        """NT_PRSTATUS, or the number of an unknown one."""
        return NOTE_NAMES.get(self.kind, f"NT_0x{self.kind:x}")


@dataclass(frozen=True, slots=True)
class Core:
    """The skeleton of one ELF file."""

    is_core: bool
    machine: int
    word: int
    big_endian: bool
    header_size: int
    table_offset: int
    entry_size: int
    headers: tuple[ProgramHeader, ...]
    section_offset: int = 0

    @property
    def order(self) -> str:
        """The struct module's sign for the byte order."""
        return ">" if self.big_endian else "<"


def is_elf(head: bytes) -> bool:
    """Whether a file starts as ELF does."""
    return head.startswith(b"\x7fELF")


def is_core(head: bytes) -> bool:
    """Whether an ELF header says that the file is a core."""
    return is_elf(head) and head[16:18] == (b"\x04\x00" if head[5:6] == b"\x01" else b"\x00\x04")


def parse(read: Read, size: int) -> Core:
    """The skeleton. Raises Malformed when the file cannot be one that a kernel or debugger wrote."""
    head = read(0, 64)
    if len(head) < 52 or not is_elf(head) or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise Malformed("not an ELF header")
    wide, order = head[4] == 2, "><"[head[5] == 1]
    if wide and len(head) < 64:
        raise Malformed("ELF header cut off")
    kind, machine = struct.unpack_from(order + "HH", head, 16)
    table, sections = struct.unpack_from(order + ("QQ" if wide else "II"), head, 32 if wide else 28)
    header_size, entry, count = struct.unpack_from(order + "HHH", head, 52 if wide else 40)
    if entry != (56 if wide else 32):
        raise Malformed("program header entries of an unknown size")
    if count == PN_XNUM:
        count = _extended_count(read, sections, order, wide=wide)
    if count > MOST_SEGMENTS or table < header_size or table + count * entry > size:
        raise Malformed("program header table outside the file")
    raw = read(table, count * entry)
    if len(raw) != count * entry:
        raise Malformed("program header table cut off")
    headers = tuple(_header(raw, place * entry, table, order, wide=wide) for place in range(count))
    return Core(
        kind == ET_CORE, machine, 8 if wide else 4, order == ">", header_size, table, entry, headers, sections
    )


def _extended_count(read: Read, sections: int, order: str, *, wide: bool) -> int:
    """More than 65,534 segments: the count is sh_info of section header 0."""
    raw = read(sections, 64 if wide else 40)
    at = 44 if wide else 28
    if not sections or len(raw) < at + 4:
        raise Malformed("extended segment count without a section header")
    return int(struct.unpack_from(order + "I", raw, at)[0])


def _header(raw: bytes, at: int, table: int, order: str, *, wide: bool) -> ProgramHeader:
    if wide:
        kind, flags, offset, address, _, file_size, memory = struct.unpack_from(order + "IIQQQQQ", raw, at)
    else:
        kind, offset, address, _, file_size, memory, flags = struct.unpack_from(order + "IIIIIII", raw, at)
    return ProgramHeader(table + at, kind, flags, offset, address, file_size, memory)


def notes(core: Core, read: Read) -> list[Note]:
    """All notes. Raises Malformed when one does not fit into its segment."""
    found: list[Note] = []
    for header in core.headers:
        if header.kind != PT_NOTE:
            continue
        if header.file_size > LARGEST_NOTES:
            raise Malformed("note segment larger than any real one")
        raw = read(header.offset, header.file_size)
        if len(raw) != header.file_size:
            raise Malformed("note segment cut off")
        _walk(raw, header.offset, core.order, found)
    return found


def _walk(raw: bytes, base: int, order: str, found: list[Note]) -> None:
    at, thread = 0, sum(1 for note in found if note.kind == 1)
    while at + 12 <= len(raw):
        name_size, size, kind = struct.unpack_from(order + "III", raw, at)
        if name_size > 256 or len(found) >= MOST_NOTES:
            raise Malformed("note with an absurd name, or too many notes")
        body = at + 12 + (name_size + 3 & ~3)
        if body + size > len(raw):
            raise Malformed("note longer than its segment")
        owner = raw[at + 12 : at + 12 + name_size].rstrip(b"\x00")
        thread += kind == 1 and owner == b"CORE"
        found.append(Note(owner, kind, base + body, size, thread))
        at = body + (size + 3 & ~3)


def _segment(header: ProgramHeader, place: int, size: int, result: Layout) -> Iterator[Segment]:
    """A program header's memory, cut to what the file has."""
    if not header.file_size or header.kind not in (PT_LOAD, PT_NOTE):
        return
    if header.kind == PT_LOAD and header.address + header.file_size > 1 << 8 * result.word:
        result.reasons.append("a segment that runs over the end of the address space")
        return
    available = max(0, min(header.file_size, size - header.offset))
    result.truncated |= available < header.file_size
    if available and header.kind == PT_LOAD:
        rights = "".join(sign for bit, sign in ((4, "r"), (2, "w"), (1, "x")) if header.flags & bit)
        name = f"load {place} {rights or '-'} 0x{header.address:x}"
        yield Segment(header.offset, available, header.address, name)


def layout(read: Read, size: int) -> Layout:
    """The layout of a core or of another ELF file, with a reason for each thing that is not as it
    should be.
    """
    head = read(0, 64)
    if len(head) < 20:
        raise Malformed("ELF header cut off")
    if not is_core(head):
        return Layout(Format.ELF)
    core = parse(read, size)
    result = Layout(Format.ELF_CORE, big_endian=core.big_endian, word=core.word)
    segments = [
        segment for place, h in enumerate(core.headers) for segment in _segment(h, place, size, result)
    ]
    try:
        segments += [
            Segment(note.offset, note.size, 0, f"note {note.label} thread {note.thread}")
            for note in notes(core, read)
            if note.size
        ]
    except Malformed as error:
        result.reasons.append(f"notes: {error.public}")
    if result.truncated:
        result.reasons.append("truncated: the program headers promise more bytes than the file has")
    if not segments:
        result.reasons.append("a core without memory or notes")
    result.finish(segments)
    return result
