"""Collects sign requests into batches: one round trip and one commit for all that wait together.

Issued tokens are validated before they are handed out: all of a small batch, one in 64 at random of a
larger one (ADR 0004). The signer has one batch at a time, and is given the next while the one before is made
durable. It starts when as many requests wait as are being made durable, or `ENOUGH`, and half as many as were
answered last: whoever just got an answer may well ask again. That wait ends with the commit and after
`GATHER`. So a request alone goes at once, and batches stay as large as the load allows, which is what makes
them cheap. A token is handed out only after its batch is durable.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from functools import partial

from sealwright.errors import Refused, Unavailable
from sealwright.issuer.again import Again, settle_fault
from sealwright.issuer.model import Asked, Signed
from sealwright.issuer.ports import SigningPort

MAX_BATCH = 256
MAX_UNDER_WAY = 8
"""Batches under way at once, one of them at the signer: a slow disk holds up the next rather than memory."""
MAX_WAITING = 8_192
WORTHWHILE = 16
"""Requests from which on a batch is cheap: fewer are never parted."""
ENOUGH = 8
"""Requests that go to a free signer even if more are being made durable."""
GATHER = 0.001
"""Seconds that the first requests of a batch wait for more, if many were answered just before."""
ALWAYS_VALIDATED = 4
"""Batch size up to which every token is validated; above it one in sixty-four."""
ONE_IN_64 = 4
"""Of the 256 values of a byte."""

Validate = Callable[[str, str, str], None]
"""(token, realm, audience): raises `Unavailable` when the token must not leave."""


class SignQueue:
    """The queue in front of one signer."""

    def __init__(self, signer: SigningPort, validate: Validate, again: Again | None = None) -> None:
        """`again` takes requests that the signer did not answer because it, or its key, went away."""
        self._signer = signer
        self._again = again
        self._validate = validate
        self._waiting: deque[Asked] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._signing = False
        self._signed = 0  # requests whose batch is being made durable
        self._answered = 0  # requests of the batch that was answered last
        self._gathering: asyncio.TimerHandle | None = None

    def put(self, asked: Asked) -> None:
        """Queue a request. It is answered with a token, `Refused` (signer's code) or `Unavailable`.

        Raises:
            Unavailable: `too_busy` when the queue is full.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("too_busy", "too many requests are waiting for a signature")
        self._waiting.append(asked)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        waiting = len(self._waiting)
        if self._signing or not waiting or waiting < min(self._signed, ENOUGH):
            return
        if len(self._under_way) >= MAX_UNDER_WAY:
            return
        if 2 * waiting < self._answered:
            self._gather()
            return
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._signing = True
        # Half of what is here: the signer has the other half while these are made durable and answered.
        size = min(waiting, max(WORTHWHILE, (waiting + self._signed + 1) // 2), MAX_BATCH)
        batch = [self._waiting.popleft() for _ in range(size)]
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._under_way.add(task)
        task.add_done_callback(partial(self._done, batch))

    def _gather(self) -> None:
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER, self._gathered)

    def _gathered(self) -> None:
        self._gathering, self._answered = None, 0
        self._pump()

    def _done(self, batch: list[Asked], task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        settle_fault(task, batch)
        self._pump()

    async def _run(self, batch: list[Asked]) -> None:
        answered = 0

        def end_turn() -> None:
            nonlocal answered
            if not answered:
                answered, self._signing = len(batch), False
                self._signed += answered
                self._pump()

        try:
            results = await self._signer.sign(
                [asked.request for asked in batch], [asked.record for asked in batch], end_turn
            )
        except (Refused, Unavailable) as error:
            for asked in batch:
                self._fail(asked, error)
            return
        finally:
            end_turn()
            self._signed -= answered
            self._answered = answered
        everything = len(batch) <= ALWAYS_VALIDATED
        dice = os.urandom(len(batch))
        for asked, result, die in zip(batch, results, dice, strict=True):
            try:
                asked.settle(self._released(asked, result, validate=everything or die < ONE_IN_64))
            except (Refused, Unavailable) as error:
                self._fail(asked, error)

    def _fail(self, asked: Asked, error: Refused | Unavailable) -> None:
        if self._again is not None and self._again.may(error):
            self._again.hold(asked, error)
        else:
            asked.settle(error)

    def _released(self, asked: Asked, result: tuple[str, int] | dict[str, str], *, validate: bool) -> Signed:
        if isinstance(result, dict):
            raise Refused(result["refused"], "the signer refused this request", result["message"])
        signed = Signed(*result)
        if validate:
            self._validate(signed.token, asked.request[0], asked.request[5][0])
        return signed
