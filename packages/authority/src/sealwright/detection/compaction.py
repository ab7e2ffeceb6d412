"""Keeps the lake readable: small neighbouring segments become one; a year is not a hundred thousand files.

A merged segment is named after the whole range that it holds and is there before its parts go. Parts that a
crash left behind lie within its range and are removed at the next run, before anything is read. May never
change, reorder or drop a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sealwright.detection.engine import arrow_schema

SMALL = 8 << 20
"""Bytes up to which a segment is small."""
ENOUGH = 64
"""Small neighbours that are worth a merge."""
GROUP_ROWS = 100_000
TABLES = ("issued", "observed", "grants", "checkpoints", "signer_counts")
"""What grows by segments; the other tables are written anew."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file: its series (a log's id, or nothing), and the range in its name."""

    path: Path
    series: str
    start: int
    end: int

    @classmethod
    def of(cls, path: Path) -> Segment:
        """From the name of a file."""
        rest, _, end = path.stem.rpartition("-")
        series, _, start = rest.rpartition("-")
        return cls(path, series, int(start), int(end))


def tidy(lake: Path) -> int:
    """Remove parts that a merge has left behind, then merge; returns how many files are fewer."""
    fewer = 0
    for table in TABLES:
        for _, found in groupby(_segments(lake / table), lambda segment: segment.series):
            series = list(found)
            left = [one for one in series if any(_covers(other, one) for other in series)]
            for one in left:
                one.path.unlink()
            fewer += len(left) + _merged(table, [one for one in series if one not in left])
    return fewer


def _segments(folder: Path) -> list[Segment]:
    found = [Segment.of(path) for path in folder.glob("*-*.parquet")]
    return sorted(found, key=lambda segment: (segment.series, segment.start, segment.end))


def _covers(whole: Segment, part: Segment) -> bool:
    longer = whole.end - whole.start > part.end - part.start
    return longer and whole.start <= part.start and part.end <= whole.end


def _merged(table: str, series: Sequence[Segment]) -> int:
    fewer = 0
    for run in _runs(series):
        if len(run) < ENOUGH:
            continue
        first, last = run[0], run[-1]
        name = "-".join(filter(None, (first.series, f"{first.start:012}", f"{last.end:012}")))
        folder = first.path.parent
        unfinished, finished = folder / f".{name}.unfinished", folder / f"{name}.parquet"
        _write(table, [one.path for one in run], unfinished)
        unfinished.replace(finished)
        for one in run:
            one.path.unlink()
        fewer += len(run) - 1
    return fewer


def _runs(series: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Small segments that follow one another."""
    run: list[Segment] = []
    for segment in series:
        if segment.path.stat().st_size <= SMALL:
            run.append(segment)
            continue
        yield run
        run = []
    yield run


def _write(table: str, parts: Sequence[Path], target: Path) -> None:
    """All rows of the parts in their order, a bounded number in memory at a time."""
    schema = arrow_schema(table)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        kept: list[pa.Table] = []
        for part in parts:
            kept.append(pq.read_table(part, schema=schema))
            if sum(rows.num_rows for rows in kept) >= GROUP_ROWS:
                writer.write_table(pa.concat_tables(kept))
                kept = []
        if kept:
            writer.write_table(pa.concat_tables(kept))
