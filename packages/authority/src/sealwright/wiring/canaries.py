"""What is planted, for detection: read for every batch of observations, so that a canary is known as soon as
it is planted. Reads only.
"""

from __future__ import annotations

from sealwright.detection.model import Planted
from sealwright.response.ports import CanaryStore


class Canaries:
    """`CanaryView` on the store of canaries."""

    def __init__(self, store: CanaryStore) -> None:
        self._store = store

    def planted(self) -> Planted:
        """See the port."""
        found = self._store.planted()
        tokens, keys = (
            frozenset(one.value for one in found if one.kind == kind) for kind in ("token", "key")
        )
        return Planted(tokens, keys)
