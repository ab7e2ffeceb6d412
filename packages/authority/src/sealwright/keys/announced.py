"""A key that is not in the ledger is not in the manifest. May never take a store's word for it."""

from __future__ import annotations

from collections.abc import Callable

from sealwright.errors import Misconfigured
from sealwright.keys.documents import document_claims
from sealwright.keys.model import Key
from sealwright.ledger.model import EventLeaf, parse_leaf

Leaf = Callable[[str, int], bytes | None]
"""Reads a leaf of the ledger: log id, index."""
_TOLD = ("kid", "realm", "jwk", "use_from", "use_until", "verify_until")


def unannounced(key: Key, leaf: Leaf) -> str | None:
    """Why the ledger does not vouch for a key's row; None when its announcement says what the row says."""
    found = leaf(key.log_id, key.ledger_index)
    event = parse_leaf(found) if found is not None else None
    told = event.members.get("announcement") if isinstance(event, EventLeaf) else None
    if not isinstance(told, str):
        return "not announced there"
    claims = document_claims(told)
    same = all(claims.get(name) == getattr(key, name) for name in _TOLD)
    return None if same else "announced differently"


class AnnouncedKeys:
    """Reads the announcing leaf of each key, once."""

    def __init__(self, leaf: Callable[[str, int], bytes | None]) -> None:
        self._leaf = leaf
        self._seen: set[str] = set()

    def require(self, key: Key) -> None:
        """Return only if the leaf that the key names is its announcement.

        Raises:
            Misconfigured: `key_not_announced`.
        """
        if key.kid in self._seen:
            return
        leaf = self._leaf(key.log_id, key.ledger_index)
        event = parse_leaf(leaf) if leaf is not None else None
        if not isinstance(event, EventLeaf) or event.members.get("announcement") != key.announcement:
            text = f"key {key.kid} is not announced at leaf {key.ledger_index} of log {key.log_id}"
            raise Misconfigured("key_not_announced", f"{text}; run `sealwright ledger fsck`")
        self._seen.add(key.kid)
