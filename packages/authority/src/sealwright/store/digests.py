"""An index from a token's digest to its place, in a file of its own beside the state database.

Derived: it follows the leaves behind the commits, so that no token waits for it, and can be deleted and is
made anew. Digests come at random, so one large tree would be written all over with every second of tokens:
new ones go to a small table, which when it is full becomes a sorted *run*; `FAN` runs of one size are merged
to one of the next. So each digest is written a few times in order, however many there are. An answer is a
hint: whoever uses it reads the leaf. It may never write to the state database.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from sealwright.ledger.model import Place
from sealwright.store.runs import TABLES, Runs

log = logging.getLogger(__name__)

FILE = "ledger-index.db"
AT_ONCE = 65_536
"""Leaves of one transaction; digests of the smallest run; leaves that may be missing while nobody asks."""

_PROGRESS = (
    "CREATE TABLE IF NOT EXISTS followed "
    "(log INTEGER PRIMARY KEY, log_id TEXT NOT NULL, size INTEGER NOT NULL)"
)
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "busy_timeout=10000",
    "cache_size=-65536",
    "journal_size_limit=67108864",
)
# Leaf version 1, kind 1: bytes 3 to 34 (counted from 1) are the digest (docs/formats/ledger.md).
_TAKE = (
    "INSERT OR IGNORE INTO digests SELECT substr(leaf, 3, 32), log, idx FROM state.leaves "
    "WHERE log = ? AND idx >= ? AND idx < ? AND substr(leaf, 1, 2) = x'0101' ORDER BY 1"
)
_BEHIND = (
    "SELECT logs.id, logs.log_id, coalesce(followed.size, 0), logs.size FROM state.logs AS logs "
    "LEFT JOIN followed ON followed.log = logs.id WHERE coalesce(followed.size, 0) < logs.size"
)
_FOREIGN = (
    "SELECT 1 FROM followed LEFT JOIN state.logs AS logs ON logs.id = followed.log "
    "AND logs.log_id = followed.log_id WHERE logs.id IS NULL OR logs.size < followed.size LIMIT 1"
)
"""Whether it is of another database: one that was put back has other logs, or fewer leaves."""
_ASK = "SELECT log, idx FROM {} WHERE digest = :digest"
_FOLLOWED = "INSERT INTO followed VALUES (?, ?, ?) ON CONFLICT (log) DO UPDATE SET size = excluded.size"


class SqliteDigestIndex:
    """The index of a state directory: one connection that writes and one that reads, each behind a lock."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE
        self._state = directory / "sealwright.db"
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._asked = ""
        self._names: dict[int, str] = {}

    def find(self, digest: bytes) -> list[Place]:
        """The places of leaves with this digest; what is not there is sought in what was appended since."""
        with self._writing:
            self._open_writer()  # looks whether the index is of this database
        found = self._found(digest)
        if not found and self.try_follow():
            found = self._found(digest)
        return found

    def _found(self, digest: bytes) -> list[Place]:
        with self._reading:
            connection = self._open_reader()
            connection.execute("BEGIN")
            try:
                [seen] = connection.execute("PRAGMA data_version").fetchone()
                if seen != self._seen:
                    self._look_again(connection)
                    self._seen = seen
                found = sorted(set(connection.execute(self._asked, {"digest": digest})))
            finally:
                connection.rollback()
            return [Place(self._names[number], index) for number, index in found]

    def follow(self, told: Callable[[int], object] = lambda _done: None) -> int:
        """Take in what was appended since; how many leaves. Stops nobody: the state is only read.

        `told` hears how many it has been so far.
        """
        done = 0
        with self._writing:
            connection = self._open_writer()
            for number, log_id, have, size in connection.execute(_BEHIND).fetchall():
                for start in range(have, size, AT_ONCE):
                    end = min(size, start + AT_ONCE)
                    with connection:
                        connection.execute(_TAKE, (number, start, end))
                        connection.execute(_FOLLOWED, (number, log_id, end))
                    Runs(connection).tidy(end - start, AT_ONCE)
                    done += end - start
                    told(done)
        return done

    def try_follow(self, step: int = 1) -> int:
        """The same if so many leaves are missing. What goes wrong is logged: the next one tries again."""
        try:
            with self._writing:
                behind = self._open_writer().execute(_BEHIND).fetchall()
            return self.follow() if sum(size - have for _, _, have, size in behind) >= step else 0
        except sqlite3.Error as error:
            log.warning("digest index is behind", extra={"facts": {"error": str(error)}})
            return 0

    def try_keep_up(self) -> None:
        """Take in what was appended since if it is a whole step; called behind every publication."""
        self.try_follow(AT_ONCE)

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = self._seen = None

    def _look_again(self, connection: sqlite3.Connection) -> None:
        tables = Runs(connection).tables()
        self._asked = " UNION ALL ".join(map(_ASK.format, tables))
        self._names = dict(connection.execute("SELECT log, log_id FROM followed"))

    def _connect(self) -> sqlite3.Connection:
        uri = f"file:{urllib.parse.quote(str(self._file))}"
        connection = sqlite3.connect(uri, check_same_thread=False, uri=True)
        self._file.chmod(0o600)
        # What is lost with the power is taken in again: `followed` is written with the digests.
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        for table in (*TABLES, _PROGRESS):
            connection.execute(table)
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = self._connect()
            self._reader.isolation_level = None
            # A look touches one page of each run, anywhere in it: mapped, that is no system call.
            self._reader.execute("PRAGMA mmap_size=1073741824")
        return self._reader

    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            connection = self._attached()
            if connection.execute(_FOREIGN).fetchone() is not None:
                log.warning("digest index is of another database: it is made anew")
                connection.close()
                for end in ("", "-wal", "-shm"):
                    self._file.with_name(FILE + end).unlink(missing_ok=True)
                connection = self._attached()
            self._writer = connection
        return self._writer

    def _attached(self) -> sqlite3.Connection:
        connection = self._connect()
        state = f"file:{urllib.parse.quote(str(self._state))}?mode=ro"
        connection.execute("ATTACH DATABASE ? AS state", (state,))
        return connection
