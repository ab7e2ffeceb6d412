"""Hands the newest manifest to everybody who waits for it.

Holds the last document only; a reader that was slow gets the newest, never a queue of old ones.
"""

from __future__ import annotations

import asyncio


class ManifestFeed:
    """The document that is served now, and a way to wait for the next. Event loop only."""

    def __init__(self) -> None:
        self.document: bytes | None = None
        self.version = 0
        self.closed = False
        self._changed = asyncio.Event()

    def publish(self, version: int, document: bytes) -> None:
        """Replace the document and wake everybody."""
        self.version, self.document = version, document
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """Let everybody go who waits, now and from now on: this process stops, the next one is asked."""
        self.closed = True
        self._changed.set()

    async def newer(self, than: int, patience: float) -> bytes | None:
        """The document as soon as its version is above `than`; None after `patience` seconds, or when the
        feed is closed.
        """
        if self.document is not None and self.version > than:
            return self.document
        if self.closed:
            return None
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            return None
        return self.document if self.version > than else None
