"""Witnesses and logs that lie, for tests: everything a malicious log says carries its right signature."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from authority_support.logs import Scribe, tokens
from sealwright.store.witness import FileWitnessStore
from sealwright.witness.book import FollowedLogs
from sealwright.witness.service import Witness
from sealwright.witness.signing import cosigner_of, open_cosigners
from sealwright_validate.conformance.ledger import consistency_of
from sealwright_validate.cosignature import ED25519
from sealwright_validate.keyset import LogKey
from sealwright_validate.merkle import leaf_hash


class TestClock:
    """A clock that stands where it is put."""

    __test__ = False

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


def vkey_of_nobody() -> str:
    """A witness's key that nobody holds any more."""
    return cosigner_of("gone.example", ED25519, Ed25519PrivateKey.generate()).vkey


def log_key(scribe: Scribe) -> LogKey:
    return LogKey(scribe.origin, scribe.key.public_key().public_bytes_raw())


def proof_of(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The consistency proof from `old` leaves, by its definition."""
    if old in {0, len(leaves)}:
        return []
    return consistency_of([leaf_hash(leaf) for leaf in leaves], old)


def submission(note: str, old: int, proof: Sequence[bytes]) -> bytes:
    lines = "".join(f"{b64encode(each).decode()}\n" for each in proof)
    return f"old {old}\n{lines}\n{note}".encode()


def witness_of(
    directory: Path, *scribes: Scribe, clock: TestClock | None = None, name: str = "w.example/1"
) -> Witness:
    """A witness of these logs; the same directory is the same witness."""
    clock = clock or TestClock()
    cosigners = open_cosigners(directory, name)
    book = FollowedLogs({scribe.origin: log_key(scribe) for scribe in scribes}, (), clock)
    store = FileWitnessStore(directory / "logs", [each.key for each in cosigners])
    return Witness(cosigners, book, store, clock)


class ForkingScribe(Scribe):
    """A log that can go back and grow otherwise, under the same key."""

    def fork(self, size: int) -> ForkingScribe:
        """The log as it was at `size` leaves."""
        other = ForkingScribe()
        other.key, other.log_id, other.origin = self.key, self.log_id, self.origin
        other.key_id, other.vkey = self.key_id, self.vkey
        if size:
            other.batch(self.leaves[:size])
        return other

    def grow(self, count: int, start: int | None = None) -> str:
        """More tokens; returns the new checkpoint. Another `start` makes other tokens."""
        leaves, _ = tokens(count, len(self.leaves) if start is None else start)
        return self.batch(leaves).checkpoint
