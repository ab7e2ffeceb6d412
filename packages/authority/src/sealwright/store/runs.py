"""Sorted runs of digests in one SQLite file, merged a part at a time: see `store/digests.py`.

A run is a table that is written once, in order. What is being merged is asked as it was until the merged run
is whole. May never hold the file for longer than one part of a merge.
"""

from __future__ import annotations

import sqlite3

MERGED_AT_ONCE = 65_536
"""Rows of one transaction of a merge: about a tenth of a second."""
MERGED_FOR_EACH = 8
"""Rows that are merged for each that is taken in: more than there are levels, so that merging keeps up."""
FAN = 4
"""Runs of a level that are merged to one of the next."""

_COLUMNS = (
    "(digest BLOB NOT NULL, log INTEGER NOT NULL, idx INTEGER NOT NULL, "
    "PRIMARY KEY (digest, log, idx)) WITHOUT ROWID"
)
_MERGING = (
    "CREATE TABLE IF NOT EXISTS merging (number INTEGER PRIMARY KEY, level INTEGER NOT NULL, "
    "digest BLOB NOT NULL, log INTEGER NOT NULL, idx INTEGER NOT NULL)"
)
TABLES = (
    f"CREATE TABLE IF NOT EXISTS digests {_COLUMNS}",
    "CREATE TABLE IF NOT EXISTS runs (number INTEGER PRIMARY KEY, level INTEGER NOT NULL)",
    # At most one row: the merge that is under way, and the last key that it has taken.
    _MERGING,
)
_MAKE = f"CREATE TABLE {{}} {_COLUMNS}"
_AFTER = "SELECT digest, log, idx FROM {} WHERE (digest, log, idx) > (SELECT digest, log, idx FROM merging)"
_TAKE = "INSERT INTO {} {} ORDER BY 1, 2, 3 LIMIT {}"
_TAKEN = (
    "UPDATE merging SET (digest, log, idx) = "
    "(SELECT digest, log, idx FROM {} ORDER BY digest DESC, log DESC, idx DESC LIMIT 1)"
)
_SPILL = "INSERT INTO {} SELECT * FROM digests ORDER BY 1, 2, 3"
# A number that no run has: the runs of a merge are those with smaller ones.
_NEXT = (
    "SELECT coalesce(max(number), 0) + 1 FROM (SELECT number FROM runs UNION ALL SELECT number FROM merging)"
)
_FULL = "SELECT level FROM runs GROUP BY level HAVING count(*) >= ? ORDER BY level LIMIT 1"
_SOURCES = "SELECT number FROM runs WHERE level = ? AND number < ? ORDER BY number"


class Runs:
    """The runs of an open index. The caller holds its lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def tables(self) -> list[str]:
        """Every table that holds digests, the newest first."""
        rows = self._connection.execute("SELECT number FROM runs ORDER BY number DESC")
        return ["digests", *(_name(number) for (number,) in rows)]

    def tidy(self, taken: int, size: int) -> None:
        """After `taken` digests were taken in: a run once there are `size` of them, and some merging."""
        self.spill(size)
        for _ in range(-(-MERGED_FOR_EACH * taken // MERGED_AT_ONCE)):
            if not self.merge():
                return

    def spill(self, size: int) -> None:
        """Make a run of the newest digests once there are `size` of them."""
        [count] = self._connection.execute("SELECT count(*) FROM digests").fetchone()
        if count < size:
            return
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            number = self._make()
            connection.execute("INSERT INTO runs VALUES (?, ?)", (number, _level(count, size)))
            connection.execute(_SPILL.format(_name(number)))
            connection.execute("DELETE FROM digests")

    def merge(self) -> bool:
        """Merge a part of what there is to merge; whether there was anything. What two processes took in
        twice is kept once.
        """
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            under_way = connection.execute("SELECT number, level FROM merging").fetchone() or self._begin()
            if under_way is None:
                return False
            number, level = under_way
            sources = self._sources(level, number)
            parts = " UNION ".join(_AFTER.format(_name(source)) for source in sources)
            taken = connection.execute(_TAKE.format(_name(number), parts, MERGED_AT_ONCE))
            if taken.rowcount < MERGED_AT_ONCE:
                self._end(number, level, sources)
            else:
                connection.execute(_TAKEN.format(_name(number)))
        return True

    def _make(self) -> int:
        [number] = self._connection.execute(_NEXT).fetchone()
        self._connection.execute(_MAKE.format(_name(number)))
        return int(number)

    def _begin(self) -> tuple[int, int] | None:
        row = self._connection.execute(_FULL, (FAN,)).fetchone()
        if row is None:
            return None
        number, level = self._make(), int(row[0])
        self._connection.execute("INSERT INTO merging VALUES (?, ?, x'', 0, 0)", (number, level))
        return number, level

    def _sources(self, level: int, before: int) -> list[int]:
        return [number for (number,) in self._connection.execute(_SOURCES, (level, before))]

    def _end(self, number: int, level: int, sources: list[int]) -> None:
        self._connection.execute("DELETE FROM merging")
        self._connection.execute("INSERT INTO runs VALUES (?, ?)", (number, level + 1))
        for source in sources:
            self._connection.execute("DELETE FROM runs WHERE number = ?", (source,))
            self._connection.execute(f"DROP TABLE {_name(source)}")


def _name(number: int) -> str:
    return f"run_{number:d}"


def _level(count: int, size: int) -> int:
    level = 1
    while count >= size * FAN**level:
        level += 1
    return level
