"""The alarms as a feed: pages by cursor, and a wake-up when there are new ones.

Readers hold a cursor and read from the store, so a slow reader costs no memory here. May never change an
alarm.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sealwright.detection.model import StoredAlarm
from sealwright.detection.ports import AlarmStore

PAGE_MAX = 1_000
"""Alarms in one page."""


class AlarmFeed:
    """What the admin surface and other rooms read alarms from. For one event loop."""

    def __init__(self, alarms: AlarmStore) -> None:
        self._alarms = alarms
        self._woken = asyncio.Event()
        self.closed = False

    async def page(self, after: int, limit: int) -> list[StoredAlarm]:
        """Up to `limit` (at most `PAGE_MAX`) alarms with a sequence number above `after`, in order."""
        return await asyncio.to_thread(self._alarms.page, after, min(limit, PAGE_MAX))

    async def next_page(self, after: int, limit: int, wait_seconds: float) -> list[StoredAlarm]:
        """Like `page`, but waits up to `wait_seconds` for an alarm when there is none."""
        woken = self._woken
        found = await self.page(after, limit)
        if found or self.closed:
            return found
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await woken.wait()
        return await self.page(after, limit)

    def wake(self) -> None:
        """Let everyone who waits read on. Called on the event loop, after the store has the alarms."""
        self._woken.set()
        self._woken = asyncio.Event()

    def close(self) -> None:
        """Let everyone go who waits, now and from now on: this process stops."""
        self.closed = True
        self.wake()
