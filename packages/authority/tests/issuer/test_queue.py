from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import sealwright.issuer.queue as issuer_queue
from sealwright.errors import Unavailable
from sealwright.issuer.model import Asked, Outcome, Signed, SignRequest
from sealwright.issuer.queue import MAX_UNDER_WAY, WORTHWHILE, SignQueue


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


def ask(queue: SignQueue, number: int) -> asyncio.Future[Signed]:
    answered: asyncio.Future[Signed] = asyncio.get_running_loop().create_future()

    def answer(outcome: Outcome) -> None:
        if isinstance(outcome, Signed):
            answered.set_result(outcome)
        else:
            answered.set_exception(outcome)

    queue.put(Asked(request_of(number), b"record", answer))
    return answered


def test_the_signer_has_one_batch_at_a_time_and_the_next_while_the_last_is_made_durable() -> None:
    async def main() -> None:
        signer = SlowDisk()
        queue = queue_of(signer)
        asked = []
        for number in range(12):
            asked.append(ask(queue, number))
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
        for number in range(3_000):
            asked.append(ask(queue, number))
            for _ in range(4):
                await asyncio.sleep(0)
        signed = sum(signer.batches)
        assert len(signer.batches) <= MAX_UNDER_WAY
        assert signed < 3_000
        signer.durable.set()
        answers = await asyncio.gather(*asked)
        assert [answer.token for answer in answers] == [f"token-of-c{number}" for number in range(3_000)]
        assert sum(signer.batches) == 3_000

    asyncio.run(main())


def test_many_that_wait_go_in_halves_so_that_the_signer_always_has_work() -> None:
    async def main() -> list[int]:
        signer = SlowDisk()
        signer.durable.set()
        queue = queue_of(signer)
        await asyncio.gather(*(ask(queue, number) for number in range(128)))
        return signer.batches

    assert asyncio.run(main())[:2] == [64, 64]


async def after_many(signer: SlowDisk, then: int) -> None:
    """One request, as many as make a batch, and then `then` one by one."""
    signer.durable.set()
    queue = queue_of(signer)
    await ask(queue, 0)
    await asyncio.gather(*(ask(queue, number) for number in range(WORTHWHILE)))
    asked = []
    for number in range(then):
        asked.append(ask(queue, number))
        for _ in range(10):
            await asyncio.sleep(0)
    await asyncio.gather(*asked)


def test_a_request_alone_goes_at_once_and_one_after_many_waits_for_half_as_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(issuer_queue, "GATHER", 3_600)
    signer = SlowDisk()
    asyncio.run(after_many(signer, WORTHWHILE // 2))
    assert signer.batches == [1, WORTHWHILE, WORTHWHILE // 2]


def test_it_does_not_wait_for_others_for_long() -> None:
    signer = SlowDisk()
    asyncio.run(after_many(signer, 1))
    assert signer.batches == [1, WORTHWHILE, 1]


def test_a_signer_that_fails_before_it_answers_is_asked_again() -> None:
    async def main() -> None:
        signer = SlowDisk()
        signer.failures = 1
        signer.durable.set()
        queue = queue_of(signer)
        with pytest.raises(Unavailable):
            await ask(queue, 1)
        assert (await ask(queue, 2)).token == "token-of-c2"

    asyncio.run(main())


class Faulty(SlowDisk):
    """Answers with too few results, or not at all."""

    def __init__(self, results: int | None) -> None:
        super().__init__()
        self._results = results

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        await asyncio.sleep(0)
        if self._results is None:
            raise ArithmeticError("a fault of our own")
        return [("token", 600)] * self._results


@pytest.mark.parametrize("results", [None, 0, 1])
def test_whatever_goes_wrong_in_a_batch_everybody_is_answered(results: int | None) -> None:
    async def go() -> list[Signed | BaseException]:
        queue = queue_of(Faulty(results))
        async with asyncio.timeout(60):
            return await asyncio.gather(*(ask(queue, number) for number in range(3)), return_exceptions=True)

    outcomes = asyncio.run(go())
    assert len(outcomes) == 3
    assert sum(isinstance(outcome, (ArithmeticError, ValueError)) for outcome in outcomes) >= 2
