"""`KeyView` on the keys room: what every key was for, from its announcement and its state.

Reads only. A key that is retired or revoked stays known for ever.
"""

from __future__ import annotations

import base64
from typing import Any, Protocol

import msgspec

from sealwright.detection.model import KeyFacts, KeyStatus
from sealwright.keys.model import Key, KeyState


class KeyRows(Protocol):
    """The one thing that is asked of the key store."""

    def get(self, kid: str) -> Key | None:
        """A key in any state."""
        ...


class KeyHistory:
    """Facts of keys, made from the keys room's rows."""

    def __init__(self, keys: KeyRows) -> None:
        self._keys = keys

    def get(self, kid: str) -> KeyFacts | None:
        """See `ports.KeyView`."""
        key = self._keys.get(kid)
        return facts_of(key) if key is not None else None


def facts_of(key: Key) -> KeyFacts:
    """What a key was for (its announcement, docs/formats/key-manifest.md) and what became of it."""
    announced = _announced(key.announcement)
    revoked, retired = key.state is KeyState.REVOKED, key.state is KeyState.RETIRED
    return KeyFacts(
        kid=key.kid,
        realm=key.realm,
        issuer=announced["issuer"],
        audiences=tuple(announced["audiences"]),
        use_from=key.use_from,
        use_until=key.use_until,
        verify_until=key.verify_until,
        max_lifetime=announced["max_lifetime"],
        status=KeyStatus(key.state.value),
        retired_at=key.changed_at if retired else None,
        revoked_at=key.changed_at if revoked else None,
        issued_before=key.issued_before if revoked else None,
    )


def _announced(announcement: str) -> dict[str, Any]:
    payload = announcement.split(".")[1]
    members: dict[str, Any] = msgspec.json.decode(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return members
