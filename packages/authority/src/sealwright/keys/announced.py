"""A key that is not in the ledger is not in the manifest. May never take a store's word for it."""

from __future__ import annotations

from collections.abc import Callable

from sealwright.errors import Misconfigured, Refused
from sealwright.keys.documents import document_claims
from sealwright.keys.model import Key
from sealwright.ledger.model import EventLeaf, parse_leaf
from sealwright.ledger.note import parse_vkey
from sealwright_validate.announced import ANNOUNCEMENT_TYPE
from sealwright_validate.documents import document_key, open_compact
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.errors import Refused as ValidatorRefused

Leaf = Callable[[str, int], bytes | None]
"""Reads a leaf of the ledger: log id, index."""
_TOLD = ("kid", "realm", "jwk", "use_from", "use_until", "verify_until")


def _announcement(key: Key, leaf: Leaf) -> str | None:
    """The announcement in the leaf that a key's row names; not verified."""
    found = leaf(key.log_id, key.ledger_index)
    event = parse_leaf(found) if found is not None else None
    told = event.members.get("announcement") if isinstance(event, EventLeaf) else None
    return told if isinstance(told, str) else None


def unannounced(key: Key, leaf: Leaf) -> str | None:
    """Why the ledger does not vouch for a key's row; None when its announcement says what the row says."""
    told = _announcement(key, leaf)
    if told is None:
        return "not announced there"
    claims = document_claims(told)
    same = all(claims.get(name) == getattr(key, name) for name in _TOLD)
    return None if same else "announced differently"


def announced_until(key: Key, leaf: Leaf) -> int:
    """Until when tokens of a key may be valid, as announced (seconds since 1970); 0 when it was not."""
    told = _announcement(key, leaf)
    return int(document_claims(told)["verify_until"]) if told is not None else 0


def require_vouched(key: Key, leaf: Leaf, vkey: str) -> None:
    """Return only if the row says what the announcement says, and the log's own key signed that.

    Raises:
        Refused: `key_row`.
    """
    told, reason = _announcement(key, leaf), unannounced(key, leaf)
    if told is None or reason is not None:
        raise Refused("key_row", f"the row of key {key.kid} is {reason}; run `sealwright ledger fsck`")
    public = parse_vkey(vkey).key.public_bytes_raw()
    identity = document_key({"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(public)})
    try:
        open_compact(told, ANNOUNCEMENT_TYPE, {identity.kid: identity})
    except ValidatorRefused as error:
        text = f"the announcement of key {key.kid} is not signed by its log; run `sealwright ledger fsck`"
        raise Refused("key_row", text, str(error)) from error


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
