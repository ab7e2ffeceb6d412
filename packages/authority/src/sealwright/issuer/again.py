"""Holds requests whose signer went away, and asks the next one: a restart of a signer fails no request.

What is asked again never left: a token leaves only with its batch durable, and then it is answered. May never
answer a request twice, and never hold one for longer than its patience.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from sealwright.errors import Refused, Unavailable
from sealwright.issuer.model import Asked
from sealwright.issuer.ports import SigningPort

PAUSE = 0.02
"""Seconds between two looks for a signer."""
MAX_HELD = 8_192
GONE = frozenset({"signer_gone", "no_active_key"})
"""Codes of `Unavailable` after which another signer, or the next one, may well answer."""
RACED = frozenset({"key_not_active", "key_outside_window", "unknown_key"})
"""Refusals of a signer that a request meets when its key was replaced while it waited."""

SigningKey = Callable[[str], tuple[SigningPort, str]]
Holds = Callable[[Asked], bool]
Put = Callable[[SigningPort, Asked], None]


def settle_fault(task: asyncio.Task[None], batch: Iterable[Asked]) -> None:
    """Answer whoever waited for a task that ended with a fault of our own: nobody may wait for ever."""
    fault = None if task.cancelled() else task.exception()
    if fault is not None:
        for asked in batch:
            asked.settle(fault if isinstance(fault, Exception) else RuntimeError(repr(fault)))


class Again:
    """Asks again.

    Args:
        signing_key: realm to the signer and the id of the key that signs now.
        put: hands a request to a signer.
        patience: seconds that a request is held in all; 0: none is.
        holds: whether a request would still be decided as it was: its client may have been disabled.
    """

    def __init__(self, signing_key: SigningKey, put: Put, patience: float, holds: Holds) -> None:
        self._signing_key = signing_key
        self._put = put
        self._patience = patience
        self._holds = holds
        self._held: set[asyncio.Task[None]] = set()

    def may(self, error: Refused | Unavailable) -> bool:
        """Whether asking again can help after this."""
        codes = RACED if isinstance(error, Refused) else GONE
        return self._patience > 0 and error.code in codes and len(self._held) < MAX_HELD

    def hold(self, asked: Asked, error: Refused | Unavailable) -> None:
        """Ask again for this request until it is answered or its patience is over: then it fails with
        `error`.
        """
        loop = asyncio.get_running_loop()
        if asked.until is None:
            asked.until = loop.time() + self._patience
        task = loop.create_task(self._ask(asked, error, asked.until))
        self._held.add(task)
        task.add_done_callback(partial(self._done, asked))

    def _done(self, asked: Asked, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        settle_fault(task, (asked,))

    async def _ask(self, asked: Asked, error: Refused | Unavailable, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(PAUSE)
            request = asked.request
            if not self._holds(asked):
                asked.settle(Refused("invalid_client", "the client was changed while its request waited"))
                return
            try:
                signer, kid = self._signing_key(request[0])
                asked.request = (request[0], kid, *request[2:])
                self._put(signer, asked)
            except Unavailable as still:
                error = still
                continue
            return
        asked.settle(error)
