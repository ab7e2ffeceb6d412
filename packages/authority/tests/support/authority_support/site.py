"""A whole authority for tests: the ordinary programs on a free loopback port, over a temporary state."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealwright.config.model import KeyConfig
from sealwright.drills.sandbox import Sandbox


@contextlib.contextmanager
def running(keys: KeyConfig | None = None, **change: Any) -> Iterator[Sandbox]:
    """A site that is up, and is taken down and removed afterwards.

    `change` names sections of the configuration. Its directory is made here: a Unix socket name has room for
    107 bytes, less than pytest takes for a path.
    """
    site = Sandbox(Path(tempfile.mkdtemp(prefix="sealwright-test-")), leaky=False, keys=keys, **change)
    try:
        site.start()
        yield site
    finally:
        site.stop()
        site.remove()
