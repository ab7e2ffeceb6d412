from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from authority_support.logs import Scribe, tokens
from sealwright.errors import Misconfigured, Refused
from sealwright.ledger.model import Batch
from sealwright.ledger.service import Ledger, parse_place
from sealwright.store.db import open_state
from sealwright.store.ledger import SqlLedgerStore


class StoppedClock:
    def now(self) -> float:
        return 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> SqlLedgerStore:
    return SqlLedgerStore(open_state(tmp_path))


def ledger_of(store: SqlLedgerStore) -> Ledger:
    return Ledger(store, StoppedClock(), lambda _log_id: None)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_a_committed_token_can_be_looked_up_and_checked(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        leaves, records = tokens(5)
        await writer.commit(scribe.batch(leaves), records)

    run(work)
    leaf = ledger.lookup(scribe.log_id, 3)
    assert leaf is not None
    kid = "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM"
    jti = f"{scribe.log_id}.3.AAAAAAAAAAAA"
    assert ledger.check(jti, leaf.digest.hex(), kid).reason is None
    assert ledger.check(jti, "00" * 32, kid).reason == "digest_mismatch"
    assert ledger.check(jti, leaf.digest.hex(), "A" * 43).reason == "kid_mismatch"
    assert ledger.check(f"{scribe.log_id}.5.AAAAAAAAAAAA", leaf.digest.hex(), kid).reason == "unknown_place"
    assert ledger.check("aaaaaaaaaaaaaaaa.0.AAAAAAAAAAAA", "00" * 32, kid).reason == "unknown_place"


def test_batches_that_arrive_out_of_order_are_stored_in_order(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        batches = [scribe.batch(tokens(3, start)[0]) for start in (0, 3, 6)]
        await asyncio.gather(*(writer.commit(batch) for batch in reversed(batches)))
        assert writer.size == 9

    run(work)
    assert [entry.leaf for entry in store.entries(scribe.log_id, 0, 9)] == scribe.leaves


def test_a_batch_that_is_offered_again_is_stored_once(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        batch = scribe.batch(tokens(3)[0])
        await writer.commit(batch)
        await writer.commit(batch)
        again = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 3)
        await again.commit(batch)

    run(work)
    assert ledger.size(scribe.log_id) == 3


def test_a_batch_that_is_stored_in_part_is_completed(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        first = scribe.batch(tokens(3)[0])
        await writer.commit(first)
        second = scribe.batch(tokens(2, 3)[0])
        both = Batch(0, [*first.leaves, *second.leaves], second.checkpoint)
        await ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0).commit(both)

    run(work)
    assert [entry.leaf for entry in store.entries(scribe.log_id, 0, 9)] == scribe.leaves


def changed(batch: Batch, **change: Any) -> Batch:
    return Batch(**{"first": batch.first, "leaves": batch.leaves, "checkpoint": batch.checkpoint, **change})


def swap(batch: Batch) -> Batch:
    return changed(batch, leaves=[batch.leaves[1], batch.leaves[0], *batch.leaves[2:]])


def drop(batch: Batch) -> Batch:
    return changed(batch, leaves=batch.leaves[:-1])


def edit(batch: Batch) -> Batch:
    return changed(batch, leaves=[batch.leaves[0][:-1] + b"\x00", *batch.leaves[1:]])


def other_head(batch: Batch) -> Batch:
    return changed(batch, checkpoint=batch.checkpoint.replace("\n3\n", "\n4\n"))


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (swap, "root_mismatch"),
        (drop, "root_mismatch"),
        (edit, "root_mismatch"),
        (other_head, "checkpoint_sig"),
    ],
)
def test_a_batch_that_its_checkpoint_does_not_cover_is_refused_and_the_log_stops(
    store: SqlLedgerStore, tamper: Callable[[Batch], Batch], code: str
) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        batch = scribe.batch(tokens(3)[0])
        with pytest.raises(Refused, match=code):
            await writer.commit(tamper(batch))
        with pytest.raises(Refused, match=code):
            await writer.commit(batch)

    run(work)
    assert ledger.size(scribe.log_id) == 0


def test_a_checkpoint_by_another_key_is_refused(store: SqlLedgerStore) -> None:
    scribe, impostor, ledger = Scribe(), Scribe(), ledger_of(store)
    impostor.origin, impostor.key_id = scribe.origin, scribe.key_id

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        with pytest.raises(Refused, match="checkpoint_signature"):
            await writer.commit(impostor.batch(tokens(2)[0]))

    run(work)


def test_a_second_writer_cannot_fork_a_log(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        one = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        two = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        batch = scribe.batch(tokens(2)[0])
        await one.commit(batch)
        with pytest.raises(Refused, match="head_moved"):
            await two.commit(batch)

    run(work)


def test_a_store_that_lost_acknowledged_leaves_is_refused(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)
    with pytest.raises(Misconfigured, match="ledger_gap"):
        ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 1)


def test_a_closed_log_takes_no_leaf(store: SqlLedgerStore) -> None:
    scribe, ledger = Scribe(), ledger_of(store)

    async def work() -> None:
        writer = ledger.open_log(scribe.log_id, scribe.origin, scribe.vkey, 0)
        await writer.commit(scribe.batch(tokens(2)[0]))
        ledger.close_log(scribe.log_id)
        with pytest.raises(Refused, match="head_moved"):
            await writer.commit(scribe.batch(tokens(2, 2)[0]))

    run(work)


@pytest.mark.parametrize(
    "jti",
    [
        "",
        "abc",
        "aaaaaaaaaaaaaaaa.01.AAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAA.1.AAAAAAAAAAAA",
        "aaaaaaaaaaaaaaaa.-1.AAAAAAAAAAAA",
        "aaaaaaaaaaaaaaaa.1.AAAA",
        "aaaaaaaaaaaaaaaa.1.AAAAAAAAAAAA\n",
        "aaaaaaaaaaaaaaaa.9999999999999999.AAAAAAAAAAAA",
    ],
)
def test_a_jti_of_another_form_names_no_place(jti: str) -> None:
    assert parse_place(jti) is None
