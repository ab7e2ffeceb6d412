"""Remembers tokens whose signature was verified, so that a second look costs microseconds.

An entry is named by the SHA-256 of the whole token (no token is kept in memory). It saves the signature check
and the reading, never a decision: expiry, the freshness of the publication and its generation are looked at
on every call, and a newer publication or another expectation runs every later step again.
"""

from typing import Final

from sealwright_validate.steps import Case
from sealwright_validate.token import VerifiedToken

DEFAULT_SIZE: Final = 4096


class Entry:
    """A verified token, with the snapshot and the expectation that it was last held against."""

    __slots__ = ("expect", "header", "must_prove", "since", "snapshot", "trust", "until", "verified")

    def __init__(self, verified: VerifiedToken, case: Case, skew: float) -> None:
        claims = verified.claims
        self.verified = verified
        self.header = case.header
        self.snapshot = case.snapshot
        self.expect = case.expect
        self.trust = case.trust
        self.must_prove = "cnf" in claims or bool(case.expect.possession) or case.expect.receipt
        begins = max(claims["iat"], claims["nbf"]) if "nbf" in claims else claims["iat"]
        self.since = begins - skew
        self.until = claims["exp"] + skew  # the key's own end lies beyond: require_key_window saw to it


class TokenCache:
    """A bounded map; the oldest entry gives way. Every operation is atomic under concurrent use."""

    __slots__ = ("_entries", "_size", "get")

    def __init__(self, size: int) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._size = size
        self.get = self._entries.get

    def put(self, name: bytes, entry: Entry) -> None:
        """Remember an entry under the digest of its whole token."""
        entries = self._entries
        while len(entries) >= self._size:
            try:
                entries.pop(next(iter(entries)), None)
            except (StopIteration, RuntimeError):  # another thread changed the map meanwhile
                break
        entries[name] = entry

    def drop(self, name: bytes) -> None:
        """Forget an entry."""
        self._entries.pop(name, None)

    def __len__(self) -> int:
        return len(self._entries)
