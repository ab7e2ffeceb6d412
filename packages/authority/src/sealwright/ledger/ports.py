"""What the ledger needs from outside: durable rows with a compare-and-swap head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from sealwright.ledger.model import Entry, Log, Place, StoredList


class LedgerStore(Protocol):
    """Logs and their leaves. A write is one transaction and is on disk when it returns."""

    def add_log(self, log: Log, at: int) -> None:
        """Begin a log of size zero. Nothing happens when it is there already."""
        ...

    def log(self, log_id: str) -> Log | None:
        """One log."""
        ...

    def logs(self) -> list[Log]:
        """Every log, oldest first."""
        ...

    def frontier(self, log_id: str) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees at the log's size, largest first, as stored with the head."""
        ...

    def append(self, before: int, entries: Sequence[Entry], log: Log, frontier: Sequence[bytes]) -> None:
        """Store entries and the new head in one transaction.

        Args:
            before: the size that the log must have now.
            entries: the new leaves in order, from index `before`.
            log: the log as it is afterwards.
            frontier: the perfect subtrees afterwards.

        Raises:
            Refused: `head_moved` when another writer appended meanwhile; nothing is stored then.
            Unavailable: the disk is full or fails. Whether anything is stored is known only when it is read.
        """
        ...

    def close_log(self, log_id: str, at: int) -> None:
        """Say that no leaf will follow."""
        ...

    def leaf(self, log_id: str, index: int) -> bytes | None:
        """One leaf."""
        ...

    def leaves(self, log_id: str, start: int, end: int) -> Sequence[bytes]:
        """Leaves with `start <= index < end`, in order, without those that are missing."""
        ...

    def entries(self, log_id: str, start: int, end: int) -> list[Entry]:
        """Entries with `start <= index < end`, in order."""
        ...


class RepairableStore(LedgerStore, Protocol):
    """A store whose rows can be put back where the signed head proves what they were."""

    def restore_leaf(self, log_id: str, index: int, leaf: bytes) -> None:
        """Put a leaf back that the signed head covers. Its private record stays as it is."""
        ...

    def restore_frontier(self, log_id: str, size: int, frontier: Sequence[bytes]) -> None:
        """Replace the frontier of a log that has this size.

        Raises:
            Refused: `head_moved`.
        """
        ...


class FileStore(Protocol):
    """Files under names such as `<log id>/tile/0/001`: a directory, or a bucket of an object store.

    Any method raises `Unavailable` when it does not answer.
    """

    def read(self, name: str) -> bytes | None:
        """What is under this name; None where there is nothing."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Keep this under the name, durably and as a whole."""
        ...

    def remove(self, name: str) -> None:
        """Keep nothing under this name."""
        ...

    def names(self, folder: str) -> Iterator[str]:
        """Every name below this folder, in any order."""
        ...

    def folders(self) -> list[str]:
        """The folders at the top."""
        ...


class LogListStore(Protocol):
    """Keeps the newest log list, durably."""

    def latest(self) -> StoredList | None:
        """The newest list."""
        ...

    def replace(self, stored: StoredList) -> None:
        """Keep this list instead of the one before."""
        ...


class DigestIndex(Protocol):
    """Finds the places of token leaves by the digest of the signing input."""

    def find(self, digest: bytes) -> list[Place]:
        """The places of leaves with this digest, as far as the index has come."""
        ...
