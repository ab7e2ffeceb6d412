"""The world of Shared Signals on every store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from authority_support.postgres import POSTGRESQL, database
from authority_support.signals import World
from sealwright.response.ssf.memory import MemoryStreamStore
from sealwright.store.db import make_tables, open_state
from sealwright.store.ssf import SqlStreamStore


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield World(MemoryStreamStore())
        return
    if request.param == "postgresql":
        with database() as engine:
            make_tables(engine)
            yield World(SqlStreamStore(engine))
        return
    engine = open_state(tmp_path)
    yield World(SqlStreamStore(engine))
    engine.dispose()
