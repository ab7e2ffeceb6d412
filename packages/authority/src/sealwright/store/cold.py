"""Leaves in cold storage: one zstd Parquet file for each segment, named in the state database.

A segment's rows leave the database in the transaction that names its file. Reads check the file against the
digest in that row. May never be the only place of something that it has not read back.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Engine, Integer, String, Table, Text, select, update

from sealwright.errors import Misconfigured, Refused, Unavailable
from sealwright.ledger.model import ColdSegment, Entry
from sealwright.ledger.ports import FileStore
from sealwright.store.db import metadata, reader, writing

cold_segments = Table(
    "cold_segments",
    metadata,
    Column("log_id", String(16), primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("end", Integer, nullable=False),
    Column("file", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("moved_at", Integer, nullable=False),
)


def _parquet() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        text = "cold storage needs pyarrow: install sealwright[detect]"
        raise Misconfigured("no_pyarrow", text) from error
    return pa, pq


def encode_segment(entries: Sequence[Entry]) -> bytes:
    """Entries as Parquet with zstd: columns `idx`, `leaf`, `record` (null where there is none)."""
    pa, pq = _parquet()
    schema = pa.schema([("idx", pa.int64()), ("leaf", pa.binary()), ("record", pa.binary())])
    columns = [[e.index for e in entries], [e.leaf for e in entries], [e.record for e in entries]]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", row_group_size=4_096)
    return out.getvalue()


def decode_segment(data: bytes) -> list[Entry]:
    """The entries of such a file."""
    _, pq = _parquet()
    table = pq.read_table(io.BytesIO(data))
    columns = (table.column(name).to_pylist() for name in ("idx", "leaf", "record"))
    return [Entry(*row) for row in zip(*columns, strict=True)]


class ColdLeaves:
    """Reads and rewrites segments. `files` is where theirs are."""

    def __init__(self, engine: Engine, files: FileStore) -> None:
        self._engine = engine
        self._reader = reader(engine)
        self._files = files
        self._last: tuple[str, list[Entry]] | None = None

    def segments(self, log_id: str) -> list[ColdSegment]:
        """The segments of a log that moved, in order."""
        query = select(cold_segments).where(cold_segments.c.log_id == log_id).order_by(cold_segments.c.first)
        with self._reader.connect() as connection:
            return [ColdSegment(**row) for row in connection.execute(query).mappings()]

    def entries(self, log_id: str, start: int, end: int) -> list[Entry]:
        """Entries with `start <= index < end` that are in cold storage, in order.

        Raises:
            Unavailable: `cold_storage`: a file is missing or is not what was written.
        """
        found: list[Entry] = []
        for segment in self.segments(log_id):
            if segment.first < end and start < segment.end:
                entries = self._read(segment)
                found += entries[max(0, start - segment.first) : end - segment.first]
        return found

    def write(self, log_id: str, entries: Sequence[Entry], at: int) -> ColdSegment:
        """Write a segment's file, read it back, and return the row that names it. Changes no row."""
        first, end = entries[0].index, entries[-1].index + 1
        data = encode_segment(entries)
        name = f"{log_id}/leaves-{first}-{end}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        self._files.write(name, data)
        segment = ColdSegment(log_id, first, end, name, hashlib.sha256(data).hexdigest(), at)
        if self._read(segment) != list(entries):
            raise Unavailable("cold_storage", "what was written to cold storage does not read back", name)
        return segment

    def replace(self, before: ColdSegment, after: ColdSegment) -> None:
        """Name another file for a segment, then remove the one before.

        Raises:
            Refused: `segment_moved`: somebody else replaced it meanwhile.
        """
        same = (cold_segments.c.log_id == before.log_id) & (cold_segments.c.digest == before.digest)
        change = update(cold_segments).where(same & (cold_segments.c.first == before.first))
        with writing(self._engine) as connection:
            done = connection.execute(change.values(file=after.file, digest=after.digest)).rowcount
        if done != 1:
            raise Refused("segment_moved", "the segment was changed meanwhile", before.file)
        self._files.remove(before.file)

    def _read(self, segment: ColdSegment) -> list[Entry]:
        if self._last is not None and self._last[0] == segment.digest:
            return self._last[1]
        data, where = self._files.read(segment.file), f"{self._files}/{segment.file}"
        if data is None:
            raise Unavailable("cold_storage", f"{where} is missing")
        if hashlib.sha256(data).hexdigest() != segment.digest:
            raise Unavailable("cold_storage", f"{where} is not what was written")
        entries = decode_segment(data)
        self._last = (segment.digest, entries)
        return entries
