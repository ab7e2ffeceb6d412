"""`LedgerStore` on SQL: a head per log that moves by compare-and-swap, and one row per leaf.

Leaf and private record share a row, so that a group commit writes one table. The head and its leaves are one
transaction: there is no moment at which a leaf is stored and not covered by a signed checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import attrgetter

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import RowMapping

from sealwright.errors import Refused
from sealwright.ledger.merkle import HASH_BYTES
from sealwright.ledger.model import (
    KIND_TOKEN,
    LEAF_VERSION,
    ColdSegment,
    Entry,
    Log,
    Place,
    TokenLeaf,
    Tombstone,
    parse_leaf,
)
from sealwright.store.append import Head, SqliteAppender, is_sqlite_file
from sealwright.store.cold import ColdLeaves, cold_segments
from sealwright.store.db import available, metadata, reader, writing
from sealwright.store.lookup import SqliteLookup

logs = Table(
    "logs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("log_id", String(16), nullable=False, unique=True),
    Column("origin", Text, nullable=False),
    Column("vkey", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("opened_at", Integer, nullable=False),
    Column("closed_at", Integer),
)
leaves = Table(
    "leaves",
    metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("record", LargeBinary),
    sqlite_with_rowid=False,
)

tombstones = Table(
    "record_tombstones",
    metadata,
    Column("log_id", String(16), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("at", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)
KIND_OF_TOKEN = bytes((LEAF_VERSION, KIND_TOKEN))
# Whatever somebody wrote into the column by hand is read as the bytes it is, so that `fsck` can name it.
_LEAF_BYTES = cast(leaves.c.leaf, LargeBinary)
_RECORD_BYTES = cast(leaves.c.record, LargeBinary)
_LEAF = (
    select(_LEAF_BYTES)
    .join(logs, logs.c.id == leaves.c.log)
    .where(logs.c.log_id == bindparam("log_id"), leaves.c.idx == bindparam("idx"))
)
_LEAVES = (
    select(_LEAF_BYTES)
    .join(logs, logs.c.id == leaves.c.log)
    .where(logs.c.log_id == bindparam("log_id"), leaves.c.idx >= bindparam("start"))
    .where(leaves.c.idx < bindparam("end"))
    .order_by(leaves.c.idx)
)
# Statements are built once: building them anew took more than the database does with them.
_INSERT = insert(leaves)
_LAST_USE = (
    select(_LEAF_BYTES)
    .where(
        leaves.c.log == bindparam("number"),
        leaves.c.idx >= bindparam("start"),
        func.substr(leaves.c.leaf, 1, 2) == KIND_OF_TOKEN,
        func.substr(leaves.c.leaf, 35, 32) == bindparam("kid", type_=LargeBinary),
    )
    .order_by(leaves.c.idx.desc())
    .limit(1)
)
_MOVED = select(cold_segments.c.first).where(
    cold_segments.c.log_id == bindparam("log_id"), cold_segments.c.first == bindparam("first")
)
_HEAD = select(logs).where(logs.c.log_id == bindparam("log_id"))
_MOVE = (
    update(logs)
    .where(logs.c.id == bindparam("number"), logs.c.size == bindparam("before"), logs.c.closed_at.is_(None))
    .values(size=bindparam("after"), checkpoint=bindparam("head"), frontier=bindparam("nodes"))
)


def _log(row: RowMapping) -> Log:
    return Log(row["log_id"], row["origin"], row["vkey"], row["size"], row["checkpoint"], row["closed_at"])


class SqlLedgerStore:
    """The ledger's rows."""

    def __init__(self, engine: Engine, cold: ColdLeaves | None = None) -> None:
        self._engine = engine
        self._reader = reader(engine)
        self._cold = cold
        self._appender = SqliteAppender(engine) if is_sqlite_file(engine) else None
        self._lookup = SqliteLookup(engine) if is_sqlite_file(engine) else None

    def add_log(self, log: Log, at: int) -> None:
        """Begin a log of size zero. Nothing happens when it is there already."""
        with writing(self._engine) as connection:
            if self._row(connection, log.log_id) is None:
                connection.execute(
                    insert(logs).values(
                        log_id=log.log_id,
                        origin=log.origin,
                        vkey=log.vkey,
                        size=0,
                        checkpoint="",
                        frontier=b"",
                        opened_at=at,
                    )
                )

    def log(self, log_id: str) -> Log | None:
        """One log."""
        with available(), self._reader.connect() as connection:
            row = self._row(connection, log_id)
        return _log(row) if row else None

    def logs(self) -> list[Log]:
        """Every log, oldest first."""
        with self._reader.connect() as connection:
            return [_log(row) for row in connection.execute(select(logs).order_by(logs.c.id)).mappings()]

    def counts(self) -> tuple[int, int]:
        """How many logs there are, and how many of them are closed."""
        query = select(func.count(), func.count(logs.c.closed_at)).select_from(logs)
        with self._reader.connect() as connection:
            every, closed = connection.execute(query).one()
        return every, closed

    def frontier(self, log_id: str) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees at the log's size, largest first."""
        with self._reader.connect() as connection:
            row = self._row(connection, log_id)
        packed: bytes = row["frontier"] if row else b""
        return tuple(packed[i : i + HASH_BYTES] for i in range(0, len(packed), HASH_BYTES))

    @staticmethod
    def _row(connection: Connection, log_id: str) -> RowMapping | None:
        return connection.execute(_HEAD, {"log_id": log_id}).mappings().first()

    def last_use(self, log_id: str, kid: bytes, look_back: int) -> int | None:
        """Issue time (seconds since 1970) of the newest token that this key signed among the last `look_back`
        leaves of its log.
        """
        with self._reader.connect() as connection:
            row = self._row(connection, log_id)
            if row is None:
                return None
            asked = {"number": row["id"], "start": max(0, row["size"] - look_back), "kid": kid}
            leaf = connection.execute(_LAST_USE, asked).scalar()
        parsed = parse_leaf(leaf) if leaf is not None else None
        return parsed.iat if isinstance(parsed, TokenLeaf) else None

    def append(self, before: int, entries: Sequence[Entry], log: Log, frontier: Sequence[bytes]) -> None:
        """Store entries and the new head in one transaction; `head_moved` when the size is not `before`."""
        head = (log.size, log.checkpoint, b"".join(frontier))
        with available():
            if self._appender is not None:
                moved = self._appender.append(log.log_id, before, head, entries)
            else:
                moved = self._append(log.log_id, before, head, entries)
        if not moved:
            raise Refused("head_moved", "another writer appended to this log, or it is closed", log.log_id)

    def _append(self, log_id: str, before: int, head: Head, entries: Sequence[Entry]) -> bool:
        with self._engine.begin() as connection:
            row = self._row(connection, log_id)
            number = row["id"] if row else 0  # no log has the number 0
            size, checkpoint, nodes = head
            values = {"number": number, "before": before, "after": size, "head": checkpoint, "nodes": nodes}
            if connection.execute(_MOVE, values).rowcount != 1:
                connection.rollback()
                return False
            connection.execute(
                _INSERT,
                [{"log": number, "idx": e.index, "leaf": e.leaf, "record": e.record} for e in entries],
            )
        return True

    def close_log(self, log_id: str, at: int) -> None:
        """Say that no leaf will follow."""
        with writing(self._engine) as connection:
            connection.execute(
                update(logs).where(logs.c.log_id == log_id, logs.c.closed_at.is_(None)).values(closed_at=at)
            )

    def restore_leaf(self, log_id: str, index: int, leaf: bytes) -> None:
        """Put a leaf back that the signed head covers. Its private record stays as it is."""
        with writing(self._engine) as connection:
            row = self._row(connection, log_id)
            number = row["id"] if row else 0
            place = (leaves.c.log == number) & (leaves.c.idx == index)
            if connection.execute(update(leaves).where(place).values(leaf=leaf)).rowcount != 1:
                connection.execute(_INSERT, {"log": number, "idx": index, "leaf": leaf, "record": None})

    def restore_frontier(self, log_id: str, size: int, frontier: Sequence[bytes]) -> None:
        """Replace the frontier of a log that has this size; `head_moved` otherwise."""
        same = (logs.c.log_id == log_id) & (logs.c.size == size)
        change = update(logs).where(same).values(frontier=b"".join(frontier))
        with writing(self._engine) as connection:
            if connection.execute(change).rowcount != 1:
                raise Refused("head_moved", "the log has grown meanwhile", log_id)

    def leaf(self, log_id: str, index: int) -> bytes | None:
        """One leaf."""
        leaf: bytes | None
        if self._lookup is not None:
            leaf = self._lookup.leaf(log_id, index)
        else:
            with self._reader.connect() as connection:
                leaf = connection.execute(_LEAF, {"log_id": log_id, "idx": index}).scalar()
        if leaf is None and self._cold is not None:
            leaf = next((entry.leaf for entry in self._cold.entries(log_id, index, index + 1)), None)
        return leaf

    def find(self, digest: bytes) -> list[Place]:
        """The places of token leaves with this digest, by reading every leaf: where no index is at hand."""
        same = func.substr(leaves.c.leaf, 1, 34) == KIND_OF_TOKEN + digest
        query = select(logs.c.log_id, leaves.c.idx).join(logs, logs.c.id == leaves.c.log).where(same)
        with self._reader.connect() as connection:
            return [Place(*row) for row in connection.execute(query)]

    def leaves(self, log_id: str, start: int, end: int) -> Sequence[bytes]:
        """Leaves with `start <= index < end`, in order."""
        with available(), self._reader.connect() as connection:
            found = (
                connection.execute(_LEAVES, {"log_id": log_id, "start": start, "end": end}).scalars().all()
            )
        if len(found) < end - start and self._cold is not None:
            return [entry.leaf for entry in self.entries(log_id, start, end)]
        return found

    def entries(self, log_id: str, start: int, end: int) -> list[Entry]:
        """Entries with `start <= index < end`, in order."""
        query = (
            select(leaves.c.idx, _LEAF_BYTES, _RECORD_BYTES)
            .join(logs, logs.c.id == leaves.c.log)
            .where(logs.c.log_id == log_id, leaves.c.idx >= start, leaves.c.idx < end)
            .order_by(leaves.c.idx)
        )
        with self._reader.connect() as connection:
            found = [Entry(*row) for row in connection.execute(query)]
        if len(found) < end - start and self._cold is not None:
            found = sorted([*found, *self._cold.entries(log_id, start, end)], key=attrgetter("index"))
        return found

    def move_out(self, segment: ColdSegment) -> None:
        """Name the file that holds a segment, and take its rows out, in one transaction."""
        with writing(self._engine) as connection:
            row = self._row(connection, segment.log_id)
            number = row["id"] if row else 0
            if (
                connection.execute(_MOVED, {"log_id": segment.log_id, "first": segment.first}).first()
                is not None
            ):
                raise Refused("segment_moved", "somebody else has moved this segment", segment.file)
            connection.execute(insert(cold_segments).values(**asdict(segment)))
            inside = (leaves.c.idx >= segment.first) & (leaves.c.idx < segment.end)
            gone = connection.execute(delete(leaves).where((leaves.c.log == number) & inside)).rowcount
            if gone != segment.end - segment.first:
                connection.rollback()
                raise Refused("leaf_missing", "the rows of the segment are not all there", segment.file)

    def erase_record(self, tombstone: Tombstone) -> None:
        """Remove a private record that is in the database, and leave a tombstone; the leaf stays."""
        with writing(self._engine) as connection:
            row = self._row(connection, tombstone.log_id)
            place = (leaves.c.log == (row["id"] if row else 0)) & (leaves.c.idx == tombstone.index)
            connection.execute(update(leaves).where(place).values(record=None))
            connection.execute(insert(tombstones).values(**asdict(tombstone)))

    def purge_records(self, kid: bytes) -> int:
        """Remove the private records of a key (raw key id) that are in the database; how many."""
        of_key = (func.substr(leaves.c.leaf, 1, 2) == KIND_OF_TOKEN) & (
            func.substr(leaves.c.leaf, 35, 32) == kid
        )
        change = update(leaves).where(of_key & leaves.c.record.is_not(None)).values(record=None)
        with writing(self._engine) as connection:
            return connection.execute(change).rowcount

    def has_records(self, kid: bytes) -> bool:
        """Whether the database holds a private record of this key (raw key id)."""
        of_key = (func.substr(leaves.c.leaf, 1, 2) == KIND_OF_TOKEN) & (
            func.substr(leaves.c.leaf, 35, 32) == kid
        )
        query = select(leaves.c.idx).where(of_key & leaves.c.record.is_not(None)).limit(1)
        with available(), self._reader.connect() as connection:
            return connection.execute(query).first() is not None

    def erased(self, log_id: str, index: int) -> Tombstone | None:
        """The tombstone of an erased record."""
        place = (tombstones.c.log_id == log_id) & (tombstones.c.index == index)
        with self._reader.connect() as connection:
            row = connection.execute(select(tombstones).where(place)).mappings().first()
        return Tombstone(**row) if row else None
