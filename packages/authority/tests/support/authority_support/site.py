"""A whole authority for tests: the ordinary programs on a free loopback port, over a temporary state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sealwright.config.model import KeyConfig
from sealwright.drills.sandbox import Sandbox


@contextlib.contextmanager
def running(directory: Path, keys: KeyConfig | None = None) -> Iterator[Sandbox]:
    """A site that is up, and is taken down afterwards."""
    site = Sandbox(directory, leaky=False, keys=keys)
    try:
        site.start()
        yield site
    finally:
        site.stop()
