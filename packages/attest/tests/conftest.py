"""Where the genuine evidence is, with a loud skip when it is absent, and synthetic vendors for the rest."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright_attest import report_data
from sealwright_attest.synthetic.world import World, new_world

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


NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
NONCE = bytes(range(32))


@pytest.fixture(scope="session")
def world() -> World:
    return new_world()


@pytest.fixture(scope="session")
def identity() -> bytes:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def nonce() -> bytes:
    return NONCE


@pytest.fixture
def bound(identity: bytes, nonce: bytes) -> bytes:
    return report_data(nonce, identity)
