"""Collects sign requests into batches: one round trip and one commit for all that wait together.

Issued tokens are validated before they are handed out: all of a small batch, one in sixteen at random of a
larger one (ADR 0004). No request waits for a batch to fill: while the signer is free a single request goes
at once, while it is busy the next batch grows. The signer has one batch at a time, and is given the next as
soon as it has answered, while the one before is made durable: batches stay as large as the load allows,
which is what makes them cheap. A token is handed out only after its batch is durable.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from sealwright.errors import Refused, Unavailable
from sealwright.issuer.model import Signed, SignRequest
from sealwright.issuer.ports import SigningPort

MAX_BATCH = 256
MAX_UNDER_WAY = 8
"""Batches under way at once, one of them at the signer: a slow disk holds up the next rather than memory."""
MAX_WAITING = 8_192
ALWAYS_VALIDATED = 4
"""Batch size up to which every token is validated; above it one in `SAMPLE`."""
SAMPLE = 16

Validate = Callable[[str, str, str], None]
"""(token, realm, audience): raises `Unavailable` when the token must not leave."""


class SignQueue:
    """The queue in front of one signer."""

    def __init__(self, signer: SigningPort, validate: Validate) -> None:
        self._signer = signer
        self._validate = validate
        self._waiting: deque[tuple[SignRequest, bytes, asyncio.Future[Signed]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._signing = False

    def submit(self, request: SignRequest, record: bytes) -> asyncio.Future[Signed]:
        """Queue a request. The future fails with `Refused` (signer's code) or `Unavailable`.

        Raises:
            Unavailable: `too_busy` when the queue is full.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("too_busy", "too many requests are waiting for a signature")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Signed] = loop.create_future()
        self._waiting.append((request, record, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._pump)
        return future

    def _pump(self) -> None:
        self._scheduled = False
        if self._signing or not self._waiting or len(self._under_way) >= MAX_UNDER_WAY:
            return
        self._signing = True
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._pump()

    def _turn(self) -> Callable[[], None]:
        """A function that ends this batch's turn at the signer; calling it again does nothing."""
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended, self._signing = True, False
                self._pump()

        return end

    async def _run(self, batch: list[tuple[SignRequest, bytes, asyncio.Future[Signed]]]) -> None:
        end_turn = self._turn()
        try:
            results = await self._signer.sign(
                [item[0] for item in batch], [item[1] for item in batch], end_turn
            )
        except (Refused, Unavailable) as error:
            for _, _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        finally:
            end_turn()
        everything = len(batch) <= ALWAYS_VALIDATED
        for (request, _, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # the caller went away; the token is in the ledger and never leaves
            try:
                future.set_result(
                    self._released(request, result, validate=everything or secrets.randbelow(SAMPLE) == 0)
                )
            except (Refused, Unavailable) as error:
                future.set_exception(error)

    def _released(
        self, request: SignRequest, result: tuple[str, int] | dict[str, str], *, validate: bool
    ) -> Signed:
        if isinstance(result, dict):
            raise Refused(result["refused"], "the signer refused this request", result["message"])
        signed = Signed(*result)
        if validate:
            self._validate(signed.token, request[0], request[5][0])
        return signed
