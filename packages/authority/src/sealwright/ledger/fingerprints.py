"""The fingerprints of our keys, as their signers announced them: one file for each log.

May never hold a secret: what is written here stands in the ledger already (docs/formats/fingerprints.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sealwright.ledger.model import KIND_KEY_EVENT, KIND_STATEMENT, EventLeaf, parse_leaf
from sealwright.ledger.ports import LedgerStore

FORMAT = "sealwright-fingerprints/1"
_KEY_EVENT = bytes((1, KIND_KEY_EVENT))
_PAGE = 1_000
IDENTITY = "identity-"
"""With the log id behind it the name of an incarnation's identity key."""


def fingerprint_files(store: LedgerStore) -> Iterator[tuple[str, str]]:
    """Log id and file text of every log in which a key with fingerprints was announced."""
    for log in store.logs():
        salt, entries = "", list[dict[str, Any]]()
        for leaf in _events(store, log.log_id, log.size):
            found = leaf.members.get("fingerprints")
            first = leaf.kind == KIND_STATEMENT
            if isinstance(found, dict) and (first or leaf.members.get("event") == "announced"):
                salt, key = found["salt"], leaf.members.get("kid", IDENTITY + log.log_id)
                entries += [{"key": key} | entry for entry in found["entries"]]
        if entries:
            body = {"format": FORMAT, "salt": salt, "entries": entries}
            yield log.log_id, json.dumps(body, indent=1) + "\n"


def _events(store: LedgerStore, log_id: str, size: int) -> Iterator[EventLeaf]:
    """The incarnation's own leaf, which is the first, and every key event."""
    for start in range(0, size, _PAGE):
        for entry in store.entries(log_id, start, min(size, start + _PAGE)):
            told = entry.index == 0 or entry.leaf.startswith(_KEY_EVENT)
            if told and isinstance(parsed := parse_leaf(entry.leaf), EventLeaf):
                yield parsed
