"""Keeps the ledger's retention while the authority runs: moves what is old enough, removes what is over.

What `sealwright ledger archive` and `purge` do when an operator asks, by the same code and under the same
times, as `system:retention` in the audit trail. May never hold up a token: it works in a thread, a segment
at a time, and what goes wrong is tried again at the next look.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from sealwright.admin.model import Details
from sealwright.admin.service import Auditor
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.errors import SealwrightError
from sealwright.wiring.retention import Keeper, keeper_of
from sealwright.wiring.stores import Stores

log = logging.getLogger(__name__)
ACTOR = "system:retention"
PATIENCE = 30.0
"""Seconds for an audit entry: without it nothing is moved; a thread must not outlive its loop for long."""
FIRST, PAUSE = 30.0, 1.0
"""Seconds until the first look, and between two segments."""


class Keeping:
    """The schedule of one authority."""

    def __init__(self, config: Config, clock: Clock, stores: Stores, auditor: Auditor) -> None:
        self._config = config
        self._clock = clock
        self._stores = stores
        self._auditor = auditor

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await asyncio.sleep(FIRST)
        while True:
            try:
                await self.once()
            except (SealwrightError, OSError, SQLAlchemyError) as error:
                log.warning("retention is behind", extra={"facts": {"detail": str(error)}})
            await asyncio.sleep(self._config.retention.every)

    async def once(self) -> tuple[int, int]:
        """Do what is due now: (segments moved, private records removed).

        Raises:
            Unavailable: cold storage, or the audit trail, does not answer; what was done until then stays.
        """
        loop, asked = asyncio.get_running_loop(), self._config.retention

        def audit(action: str, subject: str, details: Details) -> None:
            entry = self._auditor.audit(ACTOR, action, subject, details)
            asyncio.run_coroutine_threadsafe(entry, loop).result(PATIENCE)

        keeper = keeper_of(self._config, self._clock, self._stores, audit)
        moved = await self._move(keeper) if asked.archive else 0
        return moved, await self._purge(keeper) if asked.purge else 0

    @staticmethod
    async def _move(keeper: Keeper) -> int:
        due = await asyncio.to_thread(keeper.due)
        for number, segment in enumerate(due):
            if number:
                await asyncio.sleep(PAUSE)
            moved = await asyncio.to_thread(keeper.move, segment)
            facts = {"log_id": moved.log_id, "first": moved.first, "end": moved.end, "file": moved.file}
            log.info("segment moved to cold storage", extra={"facts": facts})
        return len(due)

    @staticmethod
    async def _purge(keeper: Keeper) -> int:
        gone = 0
        for key in await asyncio.to_thread(keeper.over):
            count = await asyncio.to_thread(keeper.purge, key)
            log.info("private records removed", extra={"facts": {"kid": key.kid, "records": count}})
            gone += count
        return gone
