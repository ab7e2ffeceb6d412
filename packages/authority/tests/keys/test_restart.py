"""After a restart of the authority its signers come back one by one, and none is taken for dead meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sealwright.drills.lying_ledger.book import Book
from sealwright.keys.model import KeyState
from sealwright.ledger.service import Ledger


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book.open(tmp_path)


async def two_signers(book: Book) -> None:
    ledger, service = Ledger(book.stores.ledger, book.clock, lambda _log_id: None), book.service()
    for slot in (0, 1):
        await book.start(slot, ledger, service)


def active(book: Book) -> set[tuple[str, str]]:
    return {(key.log_id, key.realm) for key in book.stores.keys.all() if key.state is KeyState.ACTIVE}


def test_every_signers_keys_stay_active_over_a_restart(book: Book) -> None:
    async def live() -> None:
        await two_signers(book)
        before = active(book)
        assert len(before) == 4
        restarted = book.service()
        for signer in book.signers.values():
            await restarted.attach(signer, signer.local.keys)
        assert active(book) == before
        for _ in before:
            restarted.signing_key("enterprise")

    asyncio.run(live())


def test_the_keys_of_a_signer_that_died_meanwhile_are_settled(book: Book) -> None:
    async def live() -> None:
        await two_signers(book)
        first, second = book.signers.values()
        book.stores.admissions.close(second.log_id, int(book.clock.now()))
        restarted = book.service()
        await restarted.attach(first, first.local.keys)
        assert {log_id for log_id, _ in active(book)} == {first.log_id}

    asyncio.run(live())


def test_the_keys_of_a_signer_that_was_met_and_went_away_are_settled(book: Book) -> None:
    async def live() -> None:
        await two_signers(book)
        first, second = book.signers.values()
        restarted = book.service()
        for signer in (first, second):
            await restarted.attach(signer, signer.local.keys)
        await restarted.detach(second.log_id)
        await restarted.tick()
        assert {log_id for log_id, _ in active(book)} == {first.log_id}

    asyncio.run(live())
