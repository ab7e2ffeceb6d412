"""Remembers the tree heads and leaves that receipts proved, and refuses a second version of either.

One tree has one root at each size and one leaf at each place. Two of them, both under the log's signature,
prove that the log showed different trees (a split view), or went back and grew again (a rollback). Bounded;
the oldest are forgotten. May never change what it once took in.
"""

from threading import Lock
from typing import Final

from sealwright_validate.errors import Reason, Refused
from sealwright_validate.note import Checkpoint

DEFAULT_KEPT: Final = 16_384

_Key = tuple[str, str, int]


class SeenHeads:
    """What one validator has seen of all logs. Safe to use from several threads."""

    def __init__(self, kept: int = DEFAULT_KEPT) -> None:
        self._kept = kept
        self._seen: dict[_Key, bytes] = {}
        self._lock = Lock()

    def require_same(self, head: Checkpoint, index: int, leaf_hash: bytes) -> None:
        """This is the tree that was seen before, as far as can be told; refuses with `ledger_split_view`."""
        for key, value in (
            (("head", head.origin, head.size), head.root),
            (("leaf", head.origin, index), leaf_hash),
        ):
            with self._lock:
                before = self._seen.setdefault(key, value)
                if len(self._seen) > self._kept:
                    del self._seen[next(iter(self._seen))]
            if before != value:
                what, origin, number = key
                raise Refused(Reason.LEDGER_SPLIT_VIEW, f"a second {what} {number} of {origin}")
