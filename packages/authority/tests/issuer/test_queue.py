from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sealwright.errors import Unavailable
from sealwright.issuer.model import SignRequest
from sealwright.issuer.queue import MAX_UNDER_WAY, SignQueue


class SlowDisk:
    """Signs in one turn of the loop; what it signed becomes durable when told."""

    log_id = "aaaaaaaaaaaaaaaa"

    def __init__(self) -> None:
        self.durable = asyncio.Event()
        self.failures = 0
        self.at_the_signer = self.most_at_the_signer = 0
        self.batches: list[int] = []

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        self.at_the_signer += 1
        self.most_at_the_signer = max(self.most_at_the_signer, self.at_the_signer)
        await asyncio.sleep(0)
        self.at_the_signer -= 1
        if self.failures:
            self.failures -= 1
            raise Unavailable("signer_gone", "the signer went away")
        self.batches.append(len(requests))
        answered()
        await self.durable.wait()
        return [(f"token-of-{request[3]}", 600) for request in requests]


def request_of(number: int) -> SignRequest:
    return ("enterprise", "kid", "at+jwt", f"c{number}", "s", ["aud"], "", 600, "00" * 32, None)


def queue_of(signer: SlowDisk) -> SignQueue:
    return SignQueue(signer, lambda _token, _realm, _audience: None)


def test_the_signer_has_one_batch_at_a_time_and_the_next_while_the_last_is_made_durable() -> None:
    async def main() -> None:
        signer = SlowDisk()
        queue = queue_of(signer)
        asked = []
        for number in range(12):
            asked.append(queue.submit(request_of(number), b"record"))
            await asyncio.sleep(0)
        assert signer.most_at_the_signer == 1
        assert len(signer.batches) > 1
        assert not any(future.done() for future in asked)  # nothing is durable yet
        signer.durable.set()
        answers = await asyncio.gather(*asked)
        assert [answer.token for answer in answers] == [f"token-of-c{number}" for number in range(12)]
        assert sum(signer.batches) == 12

    asyncio.run(main())


def test_a_disk_that_stands_still_bounds_the_batches_under_way() -> None:
    async def main() -> None:
        signer = SlowDisk()
        queue = queue_of(signer)
        asked = []
        for number in range(100):
            asked.append(queue.submit(request_of(number), b"record"))
            for _ in range(4):
                await asyncio.sleep(0)
        assert len(signer.batches) == MAX_UNDER_WAY
        signer.durable.set()
        await asyncio.gather(*asked)
        assert sum(signer.batches) == 100
        assert len(signer.batches) == MAX_UNDER_WAY + 1  # what had to wait went together

    asyncio.run(main())


def test_a_signer_that_fails_before_it_answers_is_asked_again() -> None:
    async def main() -> None:
        signer = SlowDisk()
        signer.failures = 1
        signer.durable.set()
        queue = queue_of(signer)
        with pytest.raises(Unavailable):
            await queue.submit(request_of(1), b"record")
        assert (await queue.submit(request_of(2), b"record")).token == "token-of-c2"

    asyncio.run(main())
