"""What is planted, for detection: read from the store at most twice a second, so that a canary that was
planted just now is found as well. Reads only.
"""

from __future__ import annotations

from sealwright.clock import Clock
from sealwright.detection.model import Planted
from sealwright.response.ports import CanaryStore

LIFE = 0.5
"""Seconds that an answer of the store is good for."""


class Canaries:
    """`CanaryView` on the store of canaries. For one thread."""

    def __init__(self, store: CanaryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read_at: float | None = None
        self._planted = Planted()

    def planted(self) -> Planted:
        """See the port."""
        now = self._clock.now()
        if self._read_at is None or not 0 <= now - self._read_at < LIFE:
            found = self._store.planted()
            tokens, keys = (
                frozenset(one.value for one in found if one.kind == kind) for kind in ("token", "key")
            )
            self._planted, self._read_at = Planted(tokens, keys), now
        return self._planted
