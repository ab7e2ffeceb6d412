"""A PostgreSQL server of a test run's own: a fresh cluster in a temporary directory, on a Unix socket only.

One server for each test process; each test gets a schema of its own. Skips loudly where PostgreSQL is absent.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from sealwright.store.db import open_engine

PATIENCE = 120
HOMES = (Path("/usr/lib/postgresql"), Path("/usr/local/pgsql"))
ABSENT = "POSTGRESQL ABSENT: install the Debian package postgresql"


def _programs() -> Path | None:
    """Where `initdb` and `postgres` are: Debian keeps them out of the path."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(home for root in HOMES for home in root.glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _as_other(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: the words that make it run as the package's own user."""
    if os.geteuid() != 0:
        return []
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip(ABSENT)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


def _run(words: list[str], folder: Path) -> None:
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)


_QUICKLY = ("--auth=trust", "--no-sync")
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))
"""The parameter of a fixture that runs on PostgreSQL too: one worker, and so one server, for all of them."""


@functools.cache
def _server() -> Path:
    """The folder with the socket of this process's server, started once and ended with the process."""
    programs = _programs()
    if programs is None:
        pytest.skip(ABSENT)
    folder = Path(tempfile.mkdtemp(prefix="sealwright-pg-"))
    prefix, data = _as_other(folder), folder / "data"
    _run([*prefix, str(programs / "initdb"), "-D", str(data), "-U", "test", *_QUICKLY], folder)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    control = [*prefix, str(programs / "pg_ctl"), "-D", str(data), "-w", "-t", str(PATIENCE)]
    _run([*control, "-l", str(folder / "log"), "-o", options, "start"], folder)

    def end() -> None:
        _run([*control, "-m", "immediate", "stop"], folder)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return folder


@contextlib.contextmanager
def database() -> Iterator[Engine]:
    """An engine on an empty schema of a real PostgreSQL; the caller makes its tables."""
    place, schema = _server(), f"test_{secrets.token_hex(8)}"
    address = f"postgresql+psycopg://test@/postgres?host={place}"
    first = open_engine(address)
    with first.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    first.dispose()
    engine = open_engine(f"{address}&options=-csearch_path%3D{schema}")
    try:
        yield engine
    finally:
        engine.dispose()
