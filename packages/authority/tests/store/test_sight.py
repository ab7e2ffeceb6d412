"""Detection's look at the ledger's own rows: what is committed is in sight, and nothing else."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sealwright.detection.memory import SteppedClock
from sealwright.detection.model import LeafFacts, Place
from sealwright.errors import Unavailable
from sealwright.ledger.model import Entry, Log
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore
from sealwright.store.sight import PLACES_AT_ONCE, SqlLedgerView

LOG = "abcdefghijklmnop"
KID = bytes(range(32))
KID_TEXT = base64.urlsafe_b64encode(KID).decode().rstrip("=")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_state(tmp_path)
    yield opened
    opened.dispose()


def token(index: int) -> bytes:
    digest, times = index.to_bytes(32, "big"), (100).to_bytes(8, "big") + (700).to_bytes(8, "big")
    return b"\x01\x01" + digest + KID + times + bytes(32)


def written(engine: Engine, leaves: list[bytes], log_id: str = LOG) -> SqlLedgerView:
    store = SqlLedgerStore(engine)
    store.add_log(Log(log_id, f"origin/{log_id}", "vkey", 0, "", None), 1)
    entries = [Entry(index, leaf, None) for index, leaf in enumerate(leaves)]
    store.append(0, entries, Log(log_id, f"origin/{log_id}", "vkey", len(leaves), "note", None), ())
    return SqlLedgerView(engine, SteppedClock(500.0))


def test_committed_tokens_are_in_sight_with_digest_and_key(engine: Engine) -> None:
    sight = written(engine, [token(0), token(1)]).look({Place(LOG, 1), Place(LOG, 2)})
    assert sight.sizes == {LOG: 2}
    assert sight.leaves == {Place(LOG, 1): LeafFacts(1, (1).to_bytes(32, "big").hex(), KID_TEXT)}
    assert sight.complete_until == 500.0


def test_a_place_of_a_statement_shows_its_kind_and_no_digest(engine: Engine) -> None:
    sight = written(engine, [b'\x01\x03{"at":1,"digest":"00","type":"policy"}']).look({Place(LOG, 0)})
    assert sight.leaves == {Place(LOG, 0): LeafFacts(3, "", "")}


def test_an_unknown_log_is_absent_and_logs_are_not_mixed_up(engine: Engine) -> None:
    written(engine, [token(0)])
    view = written(engine, [token(5), token(6)], "ponmlkjihgfedcba")
    sight = view.look({Place(LOG, 1), Place("ponmlkjihgfedcba", 1), Place("aaaaaaaaaaaaaaaa", 0)})
    assert sight.sizes == {LOG: 1, "ponmlkjihgfedcba": 2}
    assert sight.leaves == {
        Place("ponmlkjihgfedcba", 1): LeafFacts(1, (6).to_bytes(32, "big").hex(), KID_TEXT)
    }


def test_more_places_than_one_query_takes_are_all_looked_at(engine: Engine) -> None:
    count = PLACES_AT_ONCE + 10
    view = written(engine, [token(index) for index in range(count)])
    sight = view.look({Place(LOG, index) for index in range(count + 5)})
    assert len(sight.leaves) == count


def test_an_index_beyond_every_integer_of_the_database_is_just_not_there(engine: Engine) -> None:
    sight = written(engine, [token(0)]).look({Place(LOG, 10**18 - 1)})
    assert sight.leaves == {}


def test_a_ledger_that_cannot_be_read_is_unavailable(engine: Engine) -> None:
    view = written(engine, [token(0)])
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE leaves")
    with pytest.raises(Unavailable):
        view.look({Place(LOG, 0)})
