"""Grant events: each private record ends with the mark of the token endpoint that authenticated who asked.

The mark is a keyed digest of the record before it, so it is durable with the leaf and costs a microsecond.
Whoever has a token signed past the endpoint, with the signer's socket and the database in hand, cannot make
one without the key. The key lies in the state directory (0600): who reads that directory, or the endpoint's
memory, can. May never decide whether a token is issued.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sealwright.files import require_private, write_private

KEY_FILE = "grants.key"
KEY_BYTES, EVENT_BYTES = 32, 16
_MEMBER = b',"event":"'
_EVENT = slice(-2 * EVENT_BYTES - 2, -2)
_ENDING = len(_MEMBER) + 2 * EVENT_BYTES + 2
"""Bytes from the event's name to the end of the record."""


class GrantEvents:
    """Makes and checks the marks of one authority."""

    def __init__(self, key: bytes, since: float) -> None:
        """`since`: unix seconds from which on every token has a mark."""
        self.since = since
        self._keyed = hashlib.blake2b(key=key, digest_size=EVENT_BYTES)

    @classmethod
    def open(cls, state: Path) -> GrantEvents | None:
        """With the key in the state directory; None before the first start.

        Raises:
            Misconfigured: others can read the key.
        """
        file = state / KEY_FILE
        if not file.exists():
            return None
        require_private(file)
        return cls(file.read_bytes(), file.stat().st_mtime)

    @classmethod
    def made(cls, state: Path) -> GrantEvents:
        """The same; makes the key where there is none."""
        opened = cls.open(state)
        if opened is not None:
            return opened
        write_private(state / KEY_FILE, os.urandom(KEY_BYTES))
        return cls.made(state)

    def marked(self, record: bytes) -> bytes:
        """A record (salt and a JSON object with members) with its mark as the last member."""
        return b'%b%b%b"}' % (record[:-1], _MEMBER, self._mark(record))

    def event_of(self, record: bytes) -> str | None:
        """The mark of a record as hex, None where it has none of ours."""
        if len(record) < _ENDING:
            return None
        found = record[_EVENT]
        plain = record[:-_ENDING] + b"}"
        return found.decode() if self.marked(plain) == record else None

    def _mark(self, record: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(record)
        return keyed.hexdigest().encode()
