"""Leaves, batches and logs, as `docs/formats/ledger.md` defines them.

Nothing here reads storage or a clock.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sealwright.errors import Refused

LEAF_VERSION: Final = 1
KIND_TOKEN: Final = 1
TOKEN_LEAF: Final = bytes((LEAF_VERSION, KIND_TOKEN))
"""How the leaf of a token begins."""
KIND_KEY_EVENT: Final = 2
KIND_STATEMENT: Final = 3
_HEADER_BYTES: Final = 2
_TOKEN: Final = struct.Struct(">BB32s32sQQ32s")
TOKEN_LEAF_BYTES: Final = _TOKEN.size
MAX_LEAF_BYTES: Final = 65_535
"""C2SP tlog-tiles: an entry's length is a uint16."""


@dataclass(frozen=True, slots=True)
class TokenLeaf:
    """Kind 1. Digests are raw bytes, `kid` the raw RFC 7638 thumbprint, times seconds since 1970."""

    digest: bytes
    kid: bytes
    iat: int
    exp: int
    record: bytes


@dataclass(frozen=True, slots=True)
class EventLeaf:
    """Kinds 2 (key event) and 3 (statement): a kind and its JSON members."""

    kind: int
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a signer appended at once, with the checkpoint over everything so far."""

    first: int
    leaves: Sequence[bytes]
    checkpoint: str

    @property
    def end(self) -> int:
        """Size of the log after this batch."""
        return self.first + len(self.leaves)


@dataclass(frozen=True, slots=True)
class Log:
    """One incarnation's log as stored. `vkey` is the C2SP verifier key of its checkpoints."""

    log_id: str
    origin: str
    vkey: str
    size: int
    checkpoint: str
    closed_at: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored leaf with its private record (salt and JSON), None where erased or never released."""

    index: int
    leaf: bytes
    record: bytes | None


@dataclass(frozen=True, slots=True)
class Place:
    """A token's place in the ledger, from its `jti`."""

    log_id: str
    index: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted incarnation: what its admission says. `closed_at` in seconds since 1970."""

    log_id: str
    origin: str
    vkey: str
    evidence: str
    admission: str
    closed_at: int | None


@dataclass(frozen=True, slots=True)
class ColdSegment:
    """Leaves `first` to `end` of a log, in the file `file` of cold storage with this SHA-256 (hex)."""

    log_id: str
    first: int
    end: int
    file: str
    digest: str
    moved_at: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A private record that was erased on purpose: its leaf stays. `at` in seconds since 1970."""

    log_id: str
    index: int
    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class StoredList:
    """A log list that was served. `content` is the digest of what makes a new one necessary."""

    version: int
    issued_at: int
    expires_at: int
    content: str
    document: bytes


def parse_leaf(leaf: bytes) -> TokenLeaf | EventLeaf:
    """Parse a leaf.

    Raises:
        Refused: `malformed_leaf`.
    """
    if len(leaf) < _HEADER_BYTES or len(leaf) > MAX_LEAF_BYTES or leaf[0] != LEAF_VERSION:
        raise Refused("malformed_leaf", "not a leaf of a known version")
    kind = leaf[1]
    if kind == KIND_TOKEN:
        if len(leaf) != TOKEN_LEAF_BYTES:
            raise Refused(
                "malformed_leaf", f"a token leaf has {TOKEN_LEAF_BYTES} bytes, this one {len(leaf)}"
            )
        _, _, digest, kid, iat, exp, record = _TOKEN.unpack(leaf)
        return TokenLeaf(digest, kid, iat, exp, record)
    if kind in {KIND_KEY_EVENT, KIND_STATEMENT}:
        try:
            members = json.loads(leaf[_HEADER_BYTES:])
        except (ValueError, RecursionError) as error:
            raise Refused("malformed_leaf", "an event leaf is JSON", str(error)) from error
        if not isinstance(members, dict):
            raise Refused("malformed_leaf", "an event leaf is a JSON object")
        return EventLeaf(kind, members)
    raise Refused("malformed_leaf", f"unknown kind {kind}")
