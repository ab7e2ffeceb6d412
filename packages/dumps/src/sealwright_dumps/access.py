"""One way to read what may be a file, a member of an archive or a pipe.

May never do: hold more than two windows, or hide that something cannot be read twice.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Protocol

from sealwright_dumps.formats.archive import PIECE, Factory
from sealwright_dumps.source import FileSource, Window, spans, stream_windows, window_at

UNKNOWN_SIZE = 1 << 62


class Access(Protocol):
    """What an examination needs of an object."""

    size: int  # UNKNOWN_SIZE for streams

    def head(self, length: int) -> bytes:
        """The first bytes."""
        ...

    def windows(self) -> Iterator[Window]:
        """Everything, in order. A pipe gives it once."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Bytes near the start (streams) or anywhere (files)."""
        ...

    def fetch(self, extents: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Small extents (offset, length) from anywhere, by reading again where that is possible."""
        ...

    def factory(self) -> Factory:
        """How to read it from the start."""
        ...


class FileAccess:
    """A file or block device: everything is at hand."""

    def __init__(self, source: FileSource, window: int) -> None:
        self.source = source
        self.size = source.size
        self.extents = source.data_extents()
        self._window = window

    def head(self, length: int) -> bytes:
        """The first bytes."""
        return self.source.read(0, length)

    def windows(self) -> Iterator[Window]:
        """Everything that is not a hole."""
        return (window_at(self.source, start, stop) for start, stop in spans(self.extents, self._window))

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from anywhere."""
        return self.source.read(offset, min(length, max(0, self.size - offset)))

    def fetch(self, extents: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Small extents from anywhere."""
        return {(offset, length): self.read(offset, length) for offset, length in extents}

    def factory(self) -> Factory:
        """The file from its start in pieces."""

        def pieces() -> Iterator[bytes]:
            for at in range(0, self.size, PIECE):
                yield self.source.read(at, min(PIECE, self.size - at))

        return pieces


class StreamAccess:
    """A stream that a factory can start again (a member, a compressed core), or that comes once (a pipe)."""

    def __init__(self, factory: Factory, window: int, *, once: bool = False) -> None:
        self.size = UNKNOWN_SIZE
        self.once = once
        self._factory = factory
        self._window = window
        self._first: Window | None = None
        self._rest: Iterator[Window] = iter(())
        self._started = False
        self._told = False
        self.total = 0

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._rest = stream_windows(self._factory(), self._window)
            self._first = next(self._rest, None)

    def head(self, length: int) -> bytes:
        """The first bytes."""
        return self.read(0, length)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the first window; a layout further in cannot be read."""
        self._start()
        return b"" if self._first is None else self._first.data[offset : offset + length]

    def windows(self) -> Iterator[Window]:
        """Everything; a second time only where the factory can start again."""
        self._start()
        if self._told:
            if not self.once:
                yield from stream_windows(self._factory(), self._window)
            return
        self._told = True
        if self._first is not None:
            first, self._first = self._first, None
            self.total = first.base + first.high
            yield first
            del first
        for window in self._rest:
            self.total = window.base + window.high
            yield window

    def fetch(self, extents: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Small extents, in a second reading of the stream."""
        if self.once:
            return {}
        wanted = sorted(set(extents))
        found: dict[tuple[int, int], bytes] = {}
        place = 0
        for window in stream_windows(self._factory(), self._window):
            end = window.base + window.high
            while place < len(wanted) and wanted[place][0] < end:
                offset, length = wanted[place]
                at = offset - window.base
                found[wanted[place]] = window.data[at : at + length] if at >= 0 else b""
                place += 1
            if place == len(wanted):
                break
        return found

    def factory(self) -> Factory:
        """How to read it again."""
        return self._factory


class SeekableFile(io.RawIOBase):
    """A FileSource as a seekable file object, for zipfile."""

    def __init__(self, source: FileSource) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As io.RawIOBase."""
        base = {0: 0, 1: self._at, 2: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The present place."""
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """As io.RawIOBase."""
        length = self._source.size - self._at if size < 0 else size
        data = self._source.read(self._at, max(0, min(length, self._source.size - self._at)))
        self._at += len(data)
        return data
