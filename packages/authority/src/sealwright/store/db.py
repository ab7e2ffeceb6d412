"""Opens the state database and makes its tables.

SQLite (WAL, `synchronous=FULL`, one file) by default; any SQLAlchemy URL in principle, PostgreSQL in
practice. This module never decides anything about what is stored.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from sealwright.errors import Misconfigured, Unavailable

metadata = MetaData()
"""All tables; each `store/<room>.py` adds its own."""

BUSY_TIMEOUT_MS = 10_000


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, in the event below
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("sealwright_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def open_engine(url: str) -> Engine:
    """An engine for `url`. SQLite connections commit with a full sync and take the write lock at BEGIN.

    Args:
        url: SQLAlchemy URL; for SQLite `sqlite:////absolute/path` or `sqlite://` (in memory, for tests).
    """
    memory = url == "sqlite://"
    options: dict[str, Any] = (
        {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}} if memory else {}
    )
    engine = create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def reader(engine: Engine) -> Engine:
    """The same engine for reading: its transactions never wait for the writer, nor make it wait."""
    return engine.execution_options(sealwright_reads=True)


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Around a transaction: a full or failing disk, a locked or damaged database, may be better later.

    Raises:
        Unavailable: `store_unavailable`. Nothing is known to be stored: it may have been, all the same.
    """
    try:
        yield
    except IntegrityError:  # of a row, not of the database: whoever wrote it knows what it means
        raise
    except (DatabaseError, sqlite3.DatabaseError, OSError) as error:
        raise Unavailable("store_unavailable", "the state database cannot be used now", str(error)) from error


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes.

    Raises:
        Unavailable: see `available`.
    """
    with available(), engine.begin() as connection:
        yield connection


@contextlib.contextmanager
def transaction(engine: Engine, store: str = "state store") -> Iterator[Connection]:
    """One transaction of a store whose callers try again later, whatever the database says.

    Raises:
        Unavailable: `store_unavailable`.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise Unavailable("store_unavailable", f"The {store} does not answer.", str(error)) from error


def open_state(directory: Path) -> Engine:
    """The SQLite database of a state directory, with every table made."""
    engine = open_engine(f"sqlite:///{directory / 'sealwright.db'}")
    make_tables(engine)
    return engine


def require_readable(engine: Engine) -> None:
    """Refuse a file that is no database.

    Raises:
        Misconfigured: `bad_database`.
    """
    try:
        inspect(engine).get_table_names()
    except DatabaseError as error:
        raise _unreadable(error) from error


def _unreadable(error: DatabaseError) -> Misconfigured:
    return Misconfigured(
        "bad_database", f"the state database cannot be read: {error.orig}; restore it from a backup"
    )


def make_tables(engine: Engine) -> None:
    """Make the tables that are missing. The caller has imported the store modules whose tables it needs."""
    try:
        metadata.create_all(engine)
    except DatabaseError as error:
        raise _unreadable(error) from error
