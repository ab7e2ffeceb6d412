"""Zstandard from whichever place this installation has it: Python 3.14's own module or the `zstandard`
package.

May never do: pretend. Without either, a zstd stream is reported as not scannable.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sealwright_dumps.errors import Unavailable

_OUTPUT = 1 << 20


class _Package:
    """The `zstandard` package's decompressor behind the standard library's interface."""

    def __init__(self) -> None:
        zstandard = import_module("zstandard")
        self._error: type[Exception] = zstandard.ZstdError
        self._object = zstandard.ZstdDecompressor(max_window_size=128 << 20).decompressobj(write_size=_OUTPUT)

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        return bool(self._object.eof)

    @property
    def unused_data(self) -> bytes:
        """What followed the frame's end in the last input."""
        return bytes(self._object.unused_data)

    def decompress(self, data: bytes, _max_length: int = -1, /) -> bytes:
        """What `data` adds to the output. Raises ValueError on a damaged frame."""
        try:
            return bytes(self._object.decompress(data))
        except self._error as error:
            raise ValueError("damaged zstd frame") from error


def present() -> bool:
    """Whether zstd streams can be read here."""
    if find_spec("zstandard") is not None:
        return True
    # find_spec raises where the parent package is missing, as it is before Python 3.14
    return find_spec("compression") is not None and find_spec("compression.zstd") is not None


def decompressor() -> Any:
    """An object with `decompress`, `eof` and `unused_data`. Raises Unavailable without a library."""
    if find_spec("compression") is not None and find_spec("compression.zstd") is not None:
        return import_module("compression.zstd").ZstdDecompressor()
    if find_spec("zstandard") is not None:
        return _Package()
    raise Unavailable("zstd-absent", "reading zstd needs the extra: pip install 'sealwright-dumps[fast]'")
