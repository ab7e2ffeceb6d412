"""The contract of `KeyStore`, on SQLite and PostgreSQL: states move forward only, manifests never go back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from authority_support.postgres import POSTGRESQL, database
from sealwright.errors import Refused
from sealwright.keys.model import Key, KeyState, Manifest, Tombstone
from sealwright.store.db import make_tables, open_state
from sealwright.store.keys import SqlKeyStore

STAGED, ACTIVE, VERIFY_ONLY = KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY
RETIRED, REVOKED = KeyState.RETIRED, KeyState.REVOKED


@pytest.fixture(params=["sqlite", POSTGRESQL])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "postgresql":
        with database() as engine:
            make_tables(engine)
            yield engine
        return
    engine = open_state(tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlKeyStore:
    return SqlKeyStore(engine)


def key(number: int = 1, **changes: Any) -> Key:
    fields: dict[str, Any] = {
        "kid": f"{number:043}",
        "realm": "enterprise",
        "algorithm": "ES256",
        "log_id": "abcdefghijklmnop",
        "announcement": "a.b.c",
        "ledger_index": number,
        "jwk": {"kty": "EC", "crv": "P-256", "x": "ä", "y": "1"},
        "use_from": 100 * number,
        "use_until": 100 * number + 50,
        "verify_until": 100 * number + 90,
        "state": STAGED,
        "changed_at": 10,
    }
    return Key(**(fields | changes))


def manifest(version: int) -> Manifest:
    return Manifest(version, 100 + version, 160 + version, f"jws-{version}", "admission", "c" * 64)


def test_a_key_comes_back_as_it_was_added_and_is_added_once(store: SqlKeyStore) -> None:
    store.add(key())
    assert store.get(key().kid) == key()
    assert store.get("nobody") is None
    with pytest.raises(IntegrityError):
        store.add(key())
    assert store.all() == [key()]


def test_keys_are_listed_by_the_start_of_their_use(store: SqlKeyStore) -> None:
    for number in (3, 1, 2):
        store.add(key(number))
    assert [one.ledger_index for one in store.all()] == [1, 2, 3]
    assert [one.ledger_index for one in store.unretired()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ((ACTIVE, VERIFY_ONLY, RETIRED, REVOKED), ACTIVE),
        ((VERIFY_ONLY,), STAGED),
        ((RETIRED,), VERIFY_ONLY),
        ((REVOKED,), RETIRED),
        ((REVOKED,), REVOKED),
        ((ACTIVE,), ACTIVE),
    ],
)
def test_a_state_moves_forward_only(store: SqlKeyStore, path: tuple[KeyState, ...], last: KeyState) -> None:
    store.add(key())
    for at, state in enumerate(path, 20):
        store.settle(key().kid, state, at)
    before = store.get(key().kid)
    with pytest.raises(Refused, match="state_goes_back"):
        store.settle(key().kid, last, 99)
    assert store.get(key().kid) == before
    with pytest.raises(Refused, match="state_goes_back"):
        store.settle("nobody", REVOKED, 99)


def test_a_revocation_keeps_why_and_what_it_spares(store: SqlKeyStore) -> None:
    store.add(key())
    store.settle(key().kid, REVOKED, 77, reason="key_compromise", issued_before=70)
    found = store.get(key().kid)
    assert found is not None
    assert (found.state, found.changed_at) == (REVOKED, 77)
    assert (found.revoked_reason, found.issued_before) == ("key_compromise", 70)


def test_what_is_told_of_a_revocation_is_told_in_its_transaction(engine: Engine) -> None:
    told: list[Key] = []

    def outbox(_connection: Connection, revoked: Key) -> None:
        told.append(revoked)
        raise Refused("outbox_full", "nothing can be told")

    store = SqlKeyStore(engine, outbox)
    store.add(key())
    store.settle(key().kid, ACTIVE, 20)
    assert told == [], "of revocations only"
    with pytest.raises(Refused, match="outbox_full"):
        store.settle(key().kid, REVOKED, 77, reason="r")
    assert [(one.kid, one.state, one.changed_at) for one in told] == [(key().kid, REVOKED, 77)]
    kept = store.get(key().kid)
    assert kept is not None
    assert kept.state is ACTIVE, "neither told nor done"


def test_what_is_over_is_no_longer_listed_but_what_is_revoked_early_is(store: SqlKeyStore) -> None:
    for number in (1, 2, 3):
        store.add(key(number))
    store.settle(key(1).kid, RETIRED, 30)
    store.settle(key(2).kid, REVOKED, 240)
    store.settle(key(3).kid, REVOKED, 999)
    assert [one.ledger_index for one in store.unretired()] == [2]


def test_tombstones_are_of_what_ended_lately_and_spares_nothing(store: SqlKeyStore) -> None:
    for number in range(1, 6):
        store.add(key(number))
    store.settle(key(1).kid, RETIRED, 195)
    store.settle(key(2).kid, RETIRED, 800)
    store.settle(key(3).kid, REVOKED, 810)
    store.settle(key(4).kid, REVOKED, 820, issued_before=810)
    buried = [
        Tombstone(key(2).kid, 800, "retired", key().jwk, 290),
        Tombstone(key(3).kid, 810, "revoked", key().jwk, 390),
    ]
    assert store.tombstones(700, 700) == buried
    assert store.tombstones(900, 900) == []
    assert [one.at for one in store.tombstones(190, 900)] == [195, 800], "its window's end counts too"


def test_manifests_never_go_back(store: SqlKeyStore) -> None:
    assert store.latest_manifest() is None
    for version in (3, 7):
        store.add_manifest(manifest(version))
    assert store.latest_manifest() == manifest(7)
    for version in (7, 6, 1):
        with pytest.raises(Refused, match="manifest_goes_back"):
            store.add_manifest(manifest(version))
    assert store.latest_manifest() == manifest(7)
