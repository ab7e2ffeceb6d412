"""Fixtures that the tests of every package share.

May never import one of our packages: a leaf's tests also run where only that leaf is installed.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no finding: no property test may depend on how fast an example ran.
settings.register_profile(
    "house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the shared reference vectors; skips, saying where it looked, when there is none."""
    named = os.environ.get("SEALWRIGHT_VECTORS")
    folder = Path(named) if named else ROOT.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip(
            f"REFERENCE VECTORS ABSENT: {folder} is no folder; put them there or set SEALWRIGHT_VECTORS"
        )
    return folder
