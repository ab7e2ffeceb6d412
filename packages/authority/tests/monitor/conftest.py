from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority_support.monitors import Site
from authority_support.papersite import PaperSite


@pytest.fixture
def site() -> Iterator[Site]:
    """Two incarnations with 600 and 40 tokens, published and listed."""
    # Thrown away afterwards: where memory can hold it, no disk is waited for.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
    place = Path(tempfile.mkdtemp(prefix="sealwright-paper-", dir=memory if memory.is_dir() else None))
    try:
        made = PaperSite(place)
        first, second = made.new_seat(), made.new_seat()
        made.issue(first, count=300)
        made.issue(second, "consumer", 40)
        made.refresh()
        made.issue(first, count=300)
        made.refresh()
        yield made, first, second
    finally:
        shutil.rmtree(place, ignore_errors=True)
