"""`AdmissionStore` on SQL: the contract, and what the keys room reads from it."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from sealwright.admission.model import Admission, EvidenceLevel
from sealwright.errors import Refused, Unavailable
from sealwright.keys.model import KeyState
from sealwright.store import admission as room
from sealwright.store.admission import SqlAdmissionStore
from sealwright.store.db import make_tables, open_engine, open_state
from sealwright.store.keys import keys


def admission(log_id: str, at: int = 100) -> Admission:
    return Admission(
        log_id=log_id,
        origin=f"prefix/{log_id}",
        jwk={"kty": "OKP", "crv": "Ed25519", "x": log_id},
        level=EvidenceLevel.SIMULATED,
        statement=f"statement.{log_id}.{at}",
        result="{}",
        admitted_at=at,
        expires_at=at + 3_600,
    )


@pytest.fixture
def engine() -> Engine:
    engine = open_engine("sqlite://")
    make_tables(engine)
    return engine


@pytest.fixture
def store(engine: Engine) -> SqlAdmissionStore:
    return SqlAdmissionStore(engine)


def test_an_admission_is_read_back_as_it_was_added(store: SqlAdmissionStore) -> None:
    store.add(admission("a"))
    assert store.get("a") == admission("a")
    assert store.open() == [admission("a")]
    assert store.get("b") is None


def test_a_log_is_admitted_once_even_after_it_was_closed(store: SqlAdmissionStore) -> None:
    store.add(admission("a"))
    store.close("a", 200)
    with pytest.raises(Refused, match="already_admitted"):
        store.add(admission("a", 300))


def test_only_an_open_log_is_renewed(store: SqlAdmissionStore) -> None:
    store.add(admission("a"))
    store.renew(admission("a", 500))
    assert store.open() == [admission("a", 500)]
    store.close("a", 600)
    for log_id in ("a", "never"):
        with pytest.raises(Refused, match="not_open"):
            store.renew(admission(log_id, 700))
    assert store.get("a") == replace(admission("a", 500), closed_at=600)


def test_a_closed_log_stays_closed_since_then(store: SqlAdmissionStore) -> None:
    store.add(admission("a"))
    store.close("a", 200)
    store.close("a", 900)
    assert store.open() == []
    kept = store.get("a")
    assert kept is not None
    assert kept.closed_at == 200


def test_it_is_on_disk_when_add_returns(tmp_path: Path) -> None:
    SqlAdmissionStore(open_state(tmp_path)).add(admission("a"))
    assert SqlAdmissionStore(open_state(tmp_path)).open() == [admission("a")]


def key_row(kid: str, log_id: str, state: KeyState, issued_before: int | None = None) -> dict[str, object]:
    times = {"use_from": 0, "use_until": 10, "verify_until": 20, "changed_at": 0, "ledger_index": 0}
    texts = {"realm": "r", "algorithm": "ES256", "announcement": "a.b.c", "jwk": "{}"}
    return {"kid": kid, "log_id": log_id, "state": state, "issued_before": issued_before, **times, **texts}


def test_the_keys_room_sees_live_ones_first_and_dead_ones_whose_keys_are_published(
    store: SqlAdmissionStore, engine: Engine
) -> None:
    shown = {
        "staged": (KeyState.STAGED, None),
        "active": (KeyState.ACTIVE, None),
        "verify": (KeyState.VERIFY_ONLY, None),
        "partly": (KeyState.REVOKED, 5),
    }
    hidden = {"retired": (KeyState.RETIRED, None), "revoked": (KeyState.REVOKED, None)}
    for log_id, (state, issued_before) in (shown | hidden).items():
        store.add(admission(log_id))
        store.close(log_id, 200)
        with engine.begin() as connection:
            connection.execute(insert(keys).values(key_row(log_id, log_id, state, issued_before)))
    store.add(admission("live", 300))
    found = store.incarnations()
    assert found[0].log_id == "live"
    assert [incarnation.live for incarnation in found] == [True] + [False] * len(shown)
    assert {incarnation.log_id for incarnation in found[1:]} == set(shown)
    assert found[0].admission == admission("live", 300).statement
    assert found[0].evidence == "simulated"


def test_its_table_is_made_with_the_others() -> None:
    assert room.admissions.metadata is keys.metadata


def test_a_database_that_cannot_be_written_is_unavailable(store: SqlAdmissionStore, engine: Engine) -> None:
    room.admissions.drop(engine)
    with pytest.raises(Unavailable):
        store.add(admission("a"))
    with pytest.raises(Unavailable):
        store.close("a", 1)
