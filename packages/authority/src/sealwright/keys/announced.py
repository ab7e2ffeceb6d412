"""A key that is not in the ledger is not in the manifest. May never take a store's word for it."""

from __future__ import annotations

from collections.abc import Callable

from sealwright.errors import Misconfigured
from sealwright.keys.model import Key
from sealwright.ledger.model import EventLeaf, parse_leaf


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
