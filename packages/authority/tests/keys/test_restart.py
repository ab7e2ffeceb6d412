"""After a restart of the authority its signers come back one by one, and none is taken for dead meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sealwright.drills.lying_ledger.book import Book
from sealwright.keys.documents import document_claims
from sealwright.keys.model import KeyState
from sealwright.keys.rules import EARLY, last_listed
from sealwright.keys.service import KeyService
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


def listed(service: KeyService, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document_claims(service.manifest().jws)[what]
    return found


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


def test_a_dead_signers_keys_are_buried_when_their_last_token_is_over(book: Book) -> None:
    async def live() -> None:
        await two_signers(book)
        service = book.service()
        for signer in book.signers.values():
            await service.attach(signer, signer.local.keys)
        dead = next(iter(book.signers.values())).log_id
        await service.detach(dead)
        await service.tick()
        mine = [key for key in book.stores.keys.all() if key.log_id == dead]
        over = max(last_listed(key) for key in mine)
        assert over < min(key.use_until for key in mine)
        book.clock.time = over - 2 * EARLY
        await service.tick()
        assert {key.kid for key in mine} <= {key["kid"] for key in listed(service, "keys")}
        book.clock.time = over
        await service.tick()
        assert not {key.kid for key in mine} & {key["kid"] for key in listed(service, "keys")}
        assert {key.kid for key in mine} <= {stone["kid"] for stone in listed(service, "tombstones")}
        # Their windows are open still, so they are told of for as long after those as any other.
        for since in (over + 1, mine[0].verify_until):
            told = {stone.kid for stone in book.stores.keys.tombstones(since, since)}
            assert {key.kid for key in mine} <= told
        assert not book.stores.keys.tombstones(mine[0].verify_until + 1, 0)

    asyncio.run(live())
