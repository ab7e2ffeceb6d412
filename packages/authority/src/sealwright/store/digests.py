"""An index from a token's digest to its place, in a file of its own beside the state database.

Derived: it follows the leaves behind the commits, so that no token waits for it, and can be deleted and is
made anew. An answer of it is a hint: whoever uses it reads the leaf. It may never write to the state
database.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import urllib.parse
from pathlib import Path

from sealwright.ledger.model import Place

log = logging.getLogger(__name__)

FILE = "ledger-index.db"
AT_ONCE = 50_000
"""Leaves of one transaction."""
STEP = 100_000
"""Leaves that may be missing while nobody asks. Digests are spread over the whole index, so that a step of
ten thousand writes as many pages as one of a hundred thousand.
"""

_DIGESTS = (
    "CREATE TABLE IF NOT EXISTS digests (digest BLOB NOT NULL, log INTEGER NOT NULL, idx INTEGER NOT NULL, "
    "PRIMARY KEY (digest, log, idx)) WITHOUT ROWID"
)
_PROGRESS = (
    "CREATE TABLE IF NOT EXISTS followed "
    "(log INTEGER PRIMARY KEY, log_id TEXT NOT NULL, size INTEGER NOT NULL)"
)
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "cache_size=-65536")
# Leaf version 1, kind 1: bytes 3 to 34 (counted from 1) are the digest (docs/formats/ledger.md).
_TAKE = (
    "INSERT OR IGNORE INTO digests SELECT substr(leaf, 3, 32), log, idx FROM state.leaves "
    "WHERE log = ? AND idx >= ? AND idx < ? AND substr(leaf, 1, 2) = x'0101' ORDER BY 1"
)
_FIND = (
    "SELECT followed.log_id, digests.idx FROM digests JOIN followed ON followed.log = digests.log "
    "WHERE digests.digest = ? ORDER BY digests.log, digests.idx"
)
_BEHIND = (
    "SELECT logs.id, logs.log_id, coalesce(followed.size, 0), logs.size FROM state.logs AS logs "
    "LEFT JOIN followed ON followed.log = logs.id WHERE coalesce(followed.size, 0) < logs.size"
)
_FOLLOWED = "INSERT INTO followed VALUES (?, ?, ?) ON CONFLICT (log) DO UPDATE SET size = excluded.size"


class SqliteDigestIndex:
    """The index of a state directory. One connection behind a lock; safe for several threads."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE
        self._state = directory / "sealwright.db"
        self._lock = threading.Lock()
        self._kept: sqlite3.Connection | None = None

    def find(self, digest: bytes) -> list[Place]:
        """The places of leaves with this digest; what is not there is sought in what was appended since."""
        found = self._found(digest)
        if not found and self.try_follow():
            found = self._found(digest)
        return found

    def _found(self, digest: bytes) -> list[Place]:
        with self._lock:
            return [Place(*row) for row in self._connection().execute(_FIND, (digest,))]

    def follow(self) -> int:
        """Take in what was appended since; how many leaves. Stops nobody: the state is only read."""
        done = 0
        for number, log_id, have, size in self._behind():
            for start in range(have, size, AT_ONCE):
                end = min(size, start + AT_ONCE)
                with self._lock:
                    connection = self._connection()
                    with connection:
                        connection.execute(_TAKE, (number, start, end))
                        connection.execute(_FOLLOWED, (number, log_id, end))
                done += end - start
        return done

    def try_follow(self, step: int = 1) -> int:
        """The same if so many leaves are missing. What goes wrong is logged: the next one tries again."""
        try:
            missing = sum(size - have for _, _, have, size in self._behind())
            return self.follow() if missing >= step else 0
        except sqlite3.Error as error:
            log.warning("digest index is behind", extra={"facts": {"error": str(error)}})
            return 0

    def try_keep_up(self) -> None:
        """Take in what was appended since if it is a whole step; called behind every publication."""
        self.try_follow(STEP)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()
                self._kept = None

    def _behind(self) -> list[tuple[int, str, int, int]]:
        with self._lock:
            return self._connection().execute(_BEHIND).fetchall()

    def _connection(self) -> sqlite3.Connection:
        if self._kept is None:
            uri = f"file:{urllib.parse.quote(str(self._file))}"
            connection = sqlite3.connect(uri, check_same_thread=False, uri=True)
            self._file.chmod(0o600)
            # What is lost with the power is taken in again: `followed` is written with the digests.
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            for table in (_DIGESTS, _PROGRESS):
                connection.execute(table)
            connection.execute(
                "ATTACH DATABASE ? AS state", (f"file:{urllib.parse.quote(str(self._state))}?mode=ro",)
            )
            self._kept = connection
        return self._kept
