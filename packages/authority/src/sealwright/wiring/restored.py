"""Notices a database that is older than what was published: a restored backup.

The ledger's files are written after the database, so they never know more than it; a database that knows less
than they do was put back. And every manifest is stated in the ledger before it is kept. A state that goes
back would let a key that was retired or revoked come back, so it is not served. It repairs nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn

from sealwright.errors import Misconfigured
from sealwright.keys.documents import document_claims
from sealwright.keys.model import Manifest
from sealwright.ledger.model import EventLeaf, parse_leaf
from sealwright.ledger.ports import LedgerStore

CHUNK = 4_096
UNKEPT = 16
"""Manifests that the ledger may have after the newest that is kept: each crash between the two leaves one."""


def require_not_restored(store: LedgerStore, newest: Manifest | None, directory: Path) -> None:
    """Refuse a database that the ledger's files, or its own leaves, show to be older than what was published.

    Raises:
        Misconfigured: `state_rolled_back`.
    """
    version = newest.version if newest else 0
    for published in sorted(directory.glob("*/checkpoint")):
        size, log_id = _size(published), published.parent.name
        stored = store.log(log_id)
        if stored is None or stored.size < size:
            known = "nothing of it" if stored is None else f"{stored.size} of them"
            _refuse(f"log {log_id} was published with {size} leaves, the database has {known}", version)
    if newest is not None:
        _require_stated(store, newest)


def _size(checkpoint: Path) -> int:
    """The tree size in a checkpoint of our own; its signature is for the check of the ledger."""
    try:
        return int(checkpoint.read_text("utf-8").splitlines()[1])
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        text = f"{checkpoint} is no checkpoint; see `sealwright ledger fsck`"
        raise Misconfigured("ledger_damaged", text) from error


def _require_stated(store: LedgerStore, newest: Manifest) -> None:
    log_id = str(document_claims(newest.admission)["incarnation"])
    log, wanted, later = store.log(log_id), hashlib.sha256(newest.jws.encode()).hexdigest(), 0
    end = log.size if log is not None else 0
    while end > 0:
        start = max(0, end - CHUNK)
        for entry in reversed(store.entries(log_id, start, end)):
            leaf = parse_leaf(entry.leaf)
            if not isinstance(leaf, EventLeaf) or leaf.members.get("type") != "manifest":
                continue
            if leaf.members.get("digest") == wanted:
                return
            later += 1
            if later > UNKEPT:
                _refuse(f"the ledger has more than {UNKEPT} manifests after that one", newest.version)
        end = start
    _refuse("the ledger has no statement of that manifest", newest.version)


def _refuse(what: str, version: int) -> NoReturn:
    raise Misconfigured(
        "state_rolled_back",
        f"the state database is older than what was published (its newest manifest is {version}): {what}. It "
        "was restored from a backup, and keys retired or revoked since then would come back. Restore the "
        "newest copy of the whole state directory, or start with a new one and give every validator its root",
    )
