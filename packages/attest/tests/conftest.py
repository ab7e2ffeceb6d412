"""Where the genuine evidence is, and a loud skip when it is not there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[3].parent / "shared" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Path:
    root = Path(os.environ.get("SEALWRIGHT_VECTORS", str(_DEFAULT))) / "attestation"
    if not root.is_dir():
        pytest.skip(f"no genuine evidence at {root}: set SEALWRIGHT_VECTORS to the vectors folder")
    return root


@pytest.fixture(scope="session")
def read(vectors: Path) -> Callable[[str], bytes]:
    def read_file(name: str) -> bytes:
        return (vectors / name).read_bytes()

    return read_file
