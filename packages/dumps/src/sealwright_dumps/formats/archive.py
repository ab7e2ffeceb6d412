"""Opens compressed streams and archives as streams of bytes, within a budget.

May never do: write a member anywhere, follow a name or link in an archive, hold a member in memory (a nested
zip within
its bound excepted), or expand past the budget.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sealwright_dumps.errors import Malformed, Refused, Unavailable
from sealwright_dumps.formats import zstd
from sealwright_dumps.layout import Format

PIECE = 1 << 20
LARGEST_NESTED_ZIP = 64 << 20
MOST_MEMBERS = 1_000_000
Factory = Callable[[], Iterator[bytes]]

MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"\x1f\x8b\x08", Format.GZIP),
    (0, b"\xfd7zXZ\x00", Format.XZ),
    (0, b"BZh", Format.BZIP2),
    (0, b"\x28\xb5\x2f\xfd", Format.ZSTD),
    (0, b"\x04\x22\x4d\x18", Format.LZ4),
    (0, b"PK\x03\x04", Format.ZIP),
    (0, b"PK\x05\x06", Format.ZIP),
    (257, b"ustar", Format.TAR),
    (0, b"7z\xbc\xaf\x27\x1c", Format.UNKNOWN_ARCHIVE),
    (0, b"Rar!\x1a\x07", Format.UNKNOWN_ARCHIVE),
    (0, b"MSCF\x00\x00\x00\x00", Format.UNKNOWN_ARCHIVE),
    (0, b"\x5d\x00\x00\x80\x00\xff", Format.UNKNOWN_ARCHIVE),
    (0, b"hsqs", Format.UNKNOWN_ARCHIVE),
    (0, b"KDUMP   ", Format.UNKNOWN_ARCHIVE),
    (0, b"QFI\xfb", Format.UNKNOWN_ARCHIVE),
)
COMPRESSED = frozenset({Format.GZIP, Format.XZ, Format.BZIP2, Format.ZSTD, Format.LZ4})
_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
# the standard library's archive readers meet hostile headers with any of these
_ZIP_ERRORS = (*_ERRORS, zipfile.BadZipFile, RuntimeError, IndexError, KeyError, OverflowError, struct.error)


@dataclass(slots=True)
class Budget:
    """How many more bytes may come out of archives and streams in this object."""

    left: int

    def spend(self, amount: int) -> None:
        """Raises Refused when nothing is left: a compression bomb, or a limit that is too low for this
        file.
        """
        self.left -= amount
        if self.left < 0:
            raise Refused("expansion-limit", "expands to more than the limit allows")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive: a printable name, and how to read it from its start again."""

    name: str
    factory: Factory


def identify(head: bytes) -> Format | None:
    """The archive or compression format that the first bytes name, or nothing."""
    for at, magic, kind in MAGIC:
        if head[at : at + len(magic)] == magic:
            return kind
    return None


def printable(name: str) -> str:
    """A member's name without line breaks and control characters, at most 300 characters."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name[:300])


def expand(factory: Factory, kind: Format, budget: Budget) -> Factory:
    """The content of a compressed stream, frame after frame. Iterating raises Malformed, Refused or
    Unavailable.
    """

    def pieces() -> Iterator[bytes]:
        for piece in _frames(factory(), kind):
            budget.spend(len(piece))
            yield piece

    return pieces


def _maker(kind: Format) -> Callable[[], Any]:
    if kind is Format.LZ4:
        if find_spec("lz4") is None:
            raise Unavailable("lz4-absent", "reading lz4 needs the package lz4")
        module: Any = import_module("lz4.frame")
        maker: Callable[[], Any] = module.LZ4FrameDecompressor
        return maker
    if kind is Format.ZSTD and not zstd.present():
        raise Unavailable("zstd-absent", "reading zstd needs the extra: pip install 'sealwright-dumps[fast]'")
    makers: dict[Format, Callable[[], Any]] = {
        Format.GZIP: lambda: zlib.decompressobj(wbits=31),
        Format.XZ: lambda: lzma.LZMADecompressor(memlimit=192 << 20),
        Format.BZIP2: bz2.BZ2Decompressor,
        Format.ZSTD: zstd.decompressor,
    }
    return makers[kind]


def _frames(pieces: Iterator[bytes], kind: Format) -> Iterator[bytes]:
    """Frame after frame, as gzip, xz, bzip2 and zstd files may be joined. Zero padding after a frame is
    passed over.
    """
    maker = _maker(kind)
    expander, rest, started = maker(), b"", False
    for piece in pieces:
        rest += piece
        while rest:
            if expander.eof:
                rest = rest.lstrip(b"\x00")
                expander, started = maker(), False
                continue
            started = True
            yield from _drain(expander, rest, kind)
            rest = expander.unused_data if expander.eof else b""
    if started and not expander.eof:
        raise Malformed(f"{kind} stream cut off")


def _drain(expander: Any, data: bytes, kind: Format) -> Iterator[bytes]:
    try:
        text = expander.decompress(data, PIECE)
        yield text
        while not expander.eof:
            tail = getattr(expander, "unconsumed_tail", b"")
            if not tail and getattr(expander, "needs_input", True):
                return
            text = expander.decompress(tail, PIECE)
            if not text and not tail:
                return
            yield text
    except _ERRORS as error:
        raise Malformed(f"damaged {kind} stream") from error


class Reader(io.RawIOBase):
    """A stream of pieces as a file object that can only be read forwards."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._buffer = b""
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """`size` bytes, fewer only at the end."""
        if 0 <= size <= len(self._buffer) - self._at:
            self._at += size
            return self._buffer[self._at - size : self._at]
        gathered, have = [self._buffer[self._at :]], len(self._buffer) - self._at
        while size < 0 or have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            gathered.append(piece)
            have += len(piece)
        buffer = b"".join(gathered)
        wanted = len(buffer) if size < 0 else size
        self._buffer, self._at = buffer, min(wanted, len(buffer))
        return buffer[:wanted]


def tar_members(factory: Factory) -> Iterator[Member]:
    """The regular members of a tar. Each must be read, or not, before the next is asked for."""
    try:
        archive = tarfile.open(fileobj=Reader(factory()), mode="r|", errorlevel=0)  # noqa: SIM115  # streams, no file
        for place, entry in enumerate(archive):
            archive.members = []  # type: ignore[attr-defined]  # the list would grow with the archive
            if place > MOST_MEMBERS:
                raise Refused("too-many-members", "more members than any real archive")
            if entry.isreg():
                yield Member(printable(entry.name), _tar_member(factory, archive, entry, place))
    except (tarfile.TarError, *_ZIP_ERRORS) as error:
        raise Malformed("damaged tar") from error


def _tar_member(factory: Factory, archive: tarfile.TarFile, entry: tarfile.TarInfo, place: int) -> Factory:
    used: list[bool] = []

    def pieces() -> Iterator[bytes]:
        if used:  # a second reading walks the archive again
            yield from _again(factory, place)
            return
        used.append(True)
        yield from _copy(archive.extractfile(entry))

    return pieces


def _again(factory: Factory, wanted: int) -> Iterator[bytes]:
    archive = tarfile.open(fileobj=Reader(factory()), mode="r|", errorlevel=0)  # noqa: SIM115  # as above
    for place, entry in enumerate(archive):
        archive.members = []  # type: ignore[attr-defined]
        if place == wanted:
            yield from _copy(archive.extractfile(entry))
            return


def _copy(file: Any) -> Iterator[bytes]:
    try:
        while file is not None:
            piece = file.read(PIECE)
            if not piece:
                return
            yield piece
    except (tarfile.TarError, *_ZIP_ERRORS) as error:
        raise Malformed("damaged archive member") from error


def zip_members(file: Any, budget: Budget) -> Iterator[Member]:
    """The members of a zip in a seekable file. Encrypted ones raise Malformed when they are read."""
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except _ZIP_ERRORS as error:
        raise Malformed("damaged zip") from error
    if len(entries) > MOST_MEMBERS:
        raise Refused("too-many-members", "more members than any real archive")
    for entry in entries:
        if not entry.filename.endswith("/"):
            yield Member(printable(entry.filename), _zip_member(archive, entry, budget))


def _zip_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: Budget) -> Factory:
    def pieces() -> Iterator[bytes]:
        try:
            file = archive.open(entry)
        except _ZIP_ERRORS as error:
            raise Malformed("zip member cannot be opened (encrypted or of an unknown method)") from error
        for piece in _copy(file):
            budget.spend(len(piece))
            yield piece

    return pieces


def small_file(factory: Factory, limit: int = LARGEST_NESTED_ZIP) -> io.BytesIO:
    """A nested zip, which has to be seekable, in memory. Raises Refused above the bound."""
    file = io.BytesIO()
    for piece in factory():
        if file.tell() + len(piece) > limit:
            raise Refused("nested-zip-too-large", "a zip inside an archive is larger than the bound")
        file.write(piece)
    file.seek(0)
    return file
