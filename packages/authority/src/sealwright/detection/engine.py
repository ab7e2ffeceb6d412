"""Runs the catalogue on DuckDB over Parquet: one file or folder of segments for each table.

Reads only. Any other engine that Ibis speaks runs the same expressions: hand its tables to `findings`.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from sealwright.detection.catalogue.expressions import EXPRESSIONS, NEEDS
from sealwright.detection.catalogue.model import FINDING, TABLES, Params, Row
from sealwright.detection.catalogue.tables import Tables
from sealwright.errors import Unavailable

_ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "array<string>": pa.list_(pa.string()),
}


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of a table of the catalogue."""
    return pa.schema([(name, _ARROW[kind]) for name, kind in TABLES[table].items()])


def write_segment(lake: Path, table: str, name: str, rows: Collection[Mapping[str, Any]]) -> Path:
    """Write rows as one Parquet segment; complete or not there at all."""
    return write_arrow(lake, table, name, pa.Table.from_pylist(list(rows), schema=arrow_schema(table)))


def write_arrow(lake: Path, table: str, name: str, rows: pa.Table) -> Path:
    """Write an Arrow table as one Parquet segment, under a temporary name first."""
    folder = lake / table
    folder.mkdir(parents=True, exist_ok=True)
    unfinished, finished = folder / f".{name}.unfinished", folder / f"{name}.parquet"
    pq.write_table(rows, unfinished, compression="zstd")
    unfinished.replace(finished)
    return finished


class DuckEngine:
    """DuckDB in this process.

    Args:
        lake: folder with one folder of Parquet segments for each table; a table without segments is empty.
        threads: CPU threads that a query may use.
        memory: DuckDB's memory limit; beyond it spills to disk.
    """

    def __init__(self, lake: Path, threads: int = 2, memory: str = "2GB") -> None:
        self.lake = lake
        self.connection = ibis.duckdb.connect(threads=threads, memory_limit=memory)
        # Ibis 12 writes array filters with the arrow that DuckDB 2 takes only when told so.
        self.connection.raw_sql("SET lambda_syntax = 'ENABLE_SINGLE_ARROW'")

    def tables(self) -> Tables:
        """The lake as it is now."""
        try:
            return self._tables()
        except duckdb.Error as error:
            raise unreadable(error) from error

    def _tables(self) -> Tables:
        with _renamed_calls():
            return Tables(**{name: self._table(name) for name in TABLES})

    def runnable(self) -> list[str]:
        """Codes of the detections whose evidence is there; the others would call everything suspicious."""
        absent = {name for name in TABLES if not any((self.lake / name).glob("*.parquet"))}
        return [code for code in EXPRESSIONS if not NEEDS.get(code, frozenset()) & absent]

    def close(self) -> None:
        """Let go of memory and files."""
        self.connection.disconnect()

    def _table(self, name: str) -> ir.Table:
        if any((self.lake / name).glob("*.parquet")):
            table = self.connection.read_parquet(str(self.lake / name / "*.parquet"), table_name=name)
            return table.select(*TABLES[name])
        empty = arrow_schema(name).empty_table()
        return self.connection.create_table(name, empty, overwrite=True)


def findings(tables: Tables, params: Params, codes: Collection[str] | None = None) -> Iterator[Row]:
    """Run detections and yield what they find, detection by detection, in a fixed order.

    Args:
        tables: from any engine that Ibis speaks.
        params: times and thresholds.
        codes: which detections; every one of the catalogue when None.
    """
    for code in EXPRESSIONS if codes is None else codes:
        expression = EXPRESSIONS[code](tables, params)
        for row in rows_of(expression):
            yield Row(code=code, **{name: row[name] for name in FINDING})


def rows_of(expression: ir.Table) -> list[dict[str, Any]]:
    """The rows of an expression, from whatever engine its tables are of."""
    try:
        with _renamed_calls():
            rows: list[dict[str, Any]] = expression.to_pyarrow().to_pylist()
    except duckdb.Error as error:
        raise unreadable(error) from error
    return rows


def unreadable(error: duckdb.Error) -> Unavailable:
    """What is said when the lake cannot be read: DuckDB names the file."""
    first = str(error).partition("\n")[0]
    return Unavailable("lake_unreadable", f"the lake cannot be read, so nobody knows: {first}")


def kept(expression: ir.Table) -> ir.Table:
    """The expression's rows, worked out once and kept by its engine for as long as the answer is used."""
    try:
        with _renamed_calls():
            return expression.cache()
    except duckdb.Error as error:
        raise unreadable(error) from error


@contextmanager
def _renamed_calls() -> Iterator[None]:
    """Ibis 12 still calls by its old name what DuckDB 2 has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)
        yield
