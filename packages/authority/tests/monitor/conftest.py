from __future__ import annotations

from pathlib import Path

import pytest

from authority_support.monitors import Site
from authority_support.papersite import PaperSite


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two incarnations with 600 and 40 tokens, published and listed."""
    made = PaperSite(tmp_path)
    first, second = made.new_seat(), made.new_seat()
    made.issue(first, count=300)
    made.issue(second, "consumer", 40)
    made.refresh()
    made.issue(first, count=300)
    made.refresh()
    return made, first, second
