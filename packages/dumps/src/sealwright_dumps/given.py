"""Reads the small files that somebody gives us: fingerprints, public keys, policies, allow-lists.

May never do: read without a bound, wait on a pipe, or read a device.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

LARGEST = 16 << 20


def read(path: Path) -> bytes:
    """The content of a regular file of at most 16 MiB.

    Raises:
        OSError: absent, unreadable, not a regular file, or larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(f"larger than {LARGEST >> 20} MiB")
    return data
