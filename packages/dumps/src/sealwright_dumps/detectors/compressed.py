"""Opens compressed streams that lie inside other data, a bounded number of bytes of each.

May never do: expand more than it is told to (a bomb yields its first megabytes and a reason), or raise on
rubbish.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LARGEST = 4 << 20
_PROBE = 1 << 12
_LEAST = 24
_ZIP_HEADER = 30


class Expander(Protocol):
    """What the standard library's decompressor objects share."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """Up to `max_length` bytes more."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What a stream expanded to, and how far it reached in the buffer."""

    data: bytes
    start: int
    end: int


def _gzip() -> Expander:
    return zlib.decompressobj(wbits=31)


def _deflate() -> Expander:
    return zlib.decompressobj(wbits=-15)


def _xz() -> Expander:
    return lzma.LZMADecompressor(memlimit=64 << 20)


def _zstd() -> Expander:
    from sealwright_dumps.formats.zstd import decompressor

    expander: Expander = decompressor()
    return expander


def _zlib() -> Expander:
    return zlib.decompressobj(wbits=15)


# a zlib header is two bytes; the third starts a block of dynamic codes, whose last three bits are 100 or 101
ZLIB_HEADERS = tuple(
    bytes((0x78, level, high << 3 | low))
    for level in (0x01, 0x5E, 0x9C, 0xDA)
    for high in range(30)
    for low in (4, 5)
)
STREAMS: tuple[tuple[str, bytes, int, Callable[[], Expander]], ...] = (
    ("gzip", b"\x1f\x8b\x08", 0, _gzip),
    ("bzip2", b"1AY&SY", -4, bz2.BZ2Decompressor),
    ("xz", b"\xfd7zXZ\x00", 0, _xz),
    ("zip", b"PK\x03\x04", 0, _deflate),
    ("zstd", b"\x28\xb5\x2f\xfd", 0, _zstd),
)
ZLIB_STREAMS = tuple(("zlib", header, 0, _zlib) for header in ZLIB_HEADERS)
_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


def open_stream(data: bytes, start: int, name: str, maker: Callable[[], Expander]) -> Opened | None:
    """The stream at `start`, or nothing when it is none. Reads the buffer to its end at most."""
    body = start
    if name == "zip":
        if data[start + 8 : start + 10] != b"\x08\x00":  # stored members need no opening
            return None
        names = int.from_bytes(data[start + 26 : start + 28], "little")
        extra = int.from_bytes(data[start + 28 : start + 30], "little")
        body = start + _ZIP_HEADER + names + extra
    expander = maker()
    pieces: list[bytes] = []
    total, at = 0, body
    while at < len(data) and total < LARGEST and not getattr(expander, "eof", False):
        piece = data[at : at + _PROBE]
        try:
            text = expander.decompress(piece, LARGEST - total)
        except _ERRORS:
            break
        pieces.append(text)
        total += len(text)
        at += len(piece)
    if total < _LEAST:
        return None
    return Opened(b"".join(pieces), start, min(at, len(data)))
