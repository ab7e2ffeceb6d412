"""Lets detection see the ledger and the keys. Reads only."""

from __future__ import annotations

import base64
from collections.abc import Collection

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection.model import KeyFacts, KeyStatus, LeafFacts, LedgerSight, Place
from sealwright.keys.model import Key, KeyState
from sealwright.keys.ports import KeyStore
from sealwright.ledger.model import KIND_TOKEN, TokenLeaf
from sealwright.ledger.service import Ledger


class LedgerEyes:
    """`LedgerView` of detection. Safe to call from any thread."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def look(self, places: Collection[Place]) -> LedgerSight:
        """What the ledger holds at these places; the time is read before the leaves are."""
        complete_until = self._clock.now()
        sizes: dict[str, int] = {}
        leaves: dict[Place, LeafFacts] = {}
        for place in places:
            leaf = self._ledger.lookup(place.log_id, place.index)
            if leaf is not None:
                leaves[place] = _facts(leaf)
            if place.log_id not in sizes:
                size = self._ledger.size(place.log_id)
                if size is not None:
                    sizes[place.log_id] = size
        return LedgerSight(complete_until, sizes, leaves)


def _facts(leaf: TokenLeaf) -> LeafFacts:
    kid = base64.urlsafe_b64encode(leaf.kid).rstrip(b"=").decode()
    return LeafFacts(KIND_TOKEN, leaf.digest.hex(), kid)


class KeyEyes:
    """`KeyView` of detection. Safe to call from any thread."""

    def __init__(self, store: KeyStore, config: Config) -> None:
        self._store = store
        self._config = config

    def get(self, kid: str) -> KeyFacts | None:
        """A key of any status, None where it was never ours."""
        key = self._store.get(kid)
        return self._describe(key) if key is not None else None

    def _describe(self, key: Key) -> KeyFacts:
        realm = self._config.realms.get(key.realm)
        revoked = key.state is KeyState.REVOKED
        return KeyFacts(
            kid=key.kid,
            realm=key.realm,
            issuer=self._config.issuer(key.realm),
            audiences=realm.audiences if realm else (),
            use_from=key.use_from,
            use_until=key.use_until,
            verify_until=key.verify_until,
            max_lifetime=realm.max_lifetime if realm else 0,
            status=KeyStatus(key.state),
            retired_at=key.changed_at if key.state is KeyState.RETIRED else None,
            revoked_at=key.changed_at if revoked else None,
            issued_before=key.issued_before if revoked else None,
        )
