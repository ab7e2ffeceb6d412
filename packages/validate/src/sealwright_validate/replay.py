"""Remembers which proofs were used, for as long as they could be used again.

A backend that is shared between processes (Redis, a database) implements `ReplayStore` with one atomic
"insert unless present". May never forget a proof before its time, and says so when it cannot remember one
more.
"""

from collections import deque
from threading import Lock
from typing import Final, Protocol

from sealwright_validate.errors import Unavailable

MAX_PROOFS: Final = 200_000  # about 40 MB when full; beyond it proofs are refused, never forgotten


class ReplayStore(Protocol):
    """Where used proofs are remembered. Called from several threads, never with anything secret."""

    def first_use(self, name: bytes, now: float, until: float) -> bool:
        """Remember `name` (32 bytes) until a moment, and say whether it was new. One atomic step.

        Times are seconds since 1970. Raises Unavailable when it cannot be known or remembered.
        """


class MemoryReplayStore:
    """Used proofs of one process, in memory. Behind several processes use a shared store."""

    def __init__(self, max_proofs: int = MAX_PROOFS) -> None:
        self._max_proofs = max_proofs
        self._used: dict[bytes, float] = {}
        self._order: deque[tuple[float, bytes]] = deque()
        self._lock = Lock()

    def first_use(self, name: bytes, now: float, until: float) -> bool:
        """Remember a proof until a moment, and say whether it was new."""
        with self._lock:
            self._forget(now)
            if name in self._used:
                return False
            if len(self._used) >= self._max_proofs:
                raise Unavailable("the replay store is full")
            self._used[name] = until
            self._order.append((until, name))
            return True

    def _forget(self, now: float) -> None:
        """Proofs come in nearly in the order of their ends: what waits behind a later one is forgotten
        late.
        """
        while self._order and self._order[0][0] < now:
            del self._used[self._order.popleft()[1]]

    def __len__(self) -> int:
        return len(self._used)
