"""Puts the registers of a core's threads together as the processor had them.

The kernel stores a 256-bit register in two halves far apart, so a scalar in one is in no file as it was.
Sources: Linux
struct elf_prstatus, Intel SDM volume 1 chapter 13 (XSAVE area, standard form). May never do: change anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealwright_dumps.layout import Segment

_XMM, _XMM_COUNT = 160, 16  # FXSAVE area
_YMM_HIGH = 576  # component 2 of the standard form
_ZMM_HIGH = 1152  # component 6: upper halves of zmm0-15
_ZMM16 = 1664  # component 7: zmm16-31
_DIVERSE = 16  # distinct values among 32 bytes; random ones have fewer once in 10**16


@dataclass(frozen=True, slots=True)
class View:
    """Registers side by side: `data` was put together from [offset, offset + length) of the file."""

    name: str
    data: bytes
    offset: int
    length: int


def is_registers(segment: Segment) -> bool:
    """Whether a segment is a set of registers."""
    return any(word in segment.name for word in ("NT_X86_XSTATE", "NT_FPREGSET", "NT_PRSTATUS", "NT_ARM_"))


def views(segment: Segment, raw: bytes) -> list[View]:
    """The vector registers of an NT_X86_XSTATE note, whole and with their halves and words in the other
    order.
    """
    if "NT_X86_XSTATE" not in segment.name or len(raw) < _YMM_HIGH + 16 * _XMM_COUNT:
        return []
    wide = b"".join(
        raw[_XMM + 16 * n : _XMM + 16 * n + 16] + raw[_YMM_HIGH + 16 * n : _YMM_HIGH + 16 * n + 16]
        for n in range(_XMM_COUNT)
    )
    found = [wide]
    if len(raw) >= _ZMM_HIGH + 32 * _XMM_COUNT:
        high = raw[_ZMM_HIGH : _ZMM_HIGH + 32 * _XMM_COUNT]
        found.append(b"".join(wide[32 * n : 32 * n + 32] + high[32 * n : 32 * n + 32] for n in range(16)))
    if len(raw) >= _ZMM16 + 64 * _XMM_COUNT:
        found.append(raw[_ZMM16 : _ZMM16 + 64 * _XMM_COUNT])
    halves = b"".join(wide[32 * n + 16 : 32 * n + 32] + wide[32 * n : 32 * n + 16] for n in range(_XMM_COUNT))
    found.append(halves)
    found += [_reversed_words(view) for view in (wide, halves)]
    return [View(segment.name, data, segment.offset, segment.size) for data in found]


def _reversed_words(data: bytes) -> bytes:
    return b"".join(data[at : at + 8][::-1] for at in range(0, len(data), 8))


def scalars(view: View) -> list[bytes]:
    """Each 32-byte register that holds something random."""
    pieces = (view.data[at : at + 32] for at in range(0, len(view.data), 32))
    return [piece for piece in pieces if len(set(piece)) >= _DIVERSE]
