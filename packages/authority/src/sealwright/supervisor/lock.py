"""One supervisor per state directory: `run/up.pid`, locked while it runs.

The lock is the kernel's, so that a crash leaves nothing to clean up by hand.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from sealwright.errors import Misconfigured


class StateLock:
    """Holds `run/up.pid` from entry to exit.

    Args:
        file: the lock file; it holds the process id for people.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            Misconfigured: `already_running`, with the other's process id.
        """
        while self._descriptor is None:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                other = os.read(descriptor, 32).decode(errors="replace").strip() or "?"
                os.close(descriptor)
                raise Misconfigured(
                    "already_running",
                    f"process {other} serves {self._file.parent.parent} already; stop it, or "
                    "choose another directory with --state",
                ) from error
            if self._is_current(descriptor):
                self._descriptor = descriptor
            else:  # the holder removed the file between our open and our lock
                os.close(descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file, then let go."""
        if self._descriptor is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _is_current(self, descriptor: int) -> bool:
        try:
            on_disk = self._file.stat()
        except FileNotFoundError:
            return False
        return (on_disk.st_ino, on_disk.st_dev) == (os.fstat(descriptor).st_ino, os.fstat(descriptor).st_dev)
