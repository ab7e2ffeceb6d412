"""A clock that all processes of a sandbox share, so that six hours pass in a second.

The offset is eight bytes in a file that every process maps. Sandboxes only: nothing else imports this module.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_OFFSET = struct.Struct("<d")


class SandboxClock:
    """The host's clocks, moved forward by what the sandbox says. Serves as clock of every package."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(_OFFSET.pack(0.0))
        with file.open("r+b") as handle:
            self._shared = mmap.mmap(handle.fileno(), _OFFSET.size)

    @property
    def offset(self) -> float:
        """Seconds by which the sandbox is ahead of the host."""
        (seconds,) = _OFFSET.unpack_from(self._shared)
        return float(seconds)

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.offset  # noqa: TID251 - the sandbox's only clock

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.now()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic() + self.offset

    def advance(self, seconds: float) -> None:
        """Let time pass for every process of the sandbox."""
        _OFFSET.pack_into(self._shared, 0, self.offset + seconds)
