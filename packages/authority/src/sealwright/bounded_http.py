"""HTTP/1.1 with bounds on the head of a request and on the time until it is complete, for every server here.

May never read a body on its own account: bodies are bounded by the routes.
"""

from __future__ import annotations

import asyncio
import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request line with its headers."""
BODY_AT_ONCE = 262_144
"""Bytes that may come in one read with the head: a body that follows at once."""
REQUEST_SECONDS = 30
"""Seconds in which a request must be complete, from the connection or from its first byte."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)


def without_upgrade(data: bytes) -> bytes:
    """The same request with its `Upgrade` renamed, which a server may ignore (RFC 9110 section 7.8).

    The parser would stop behind the head, and take the body for the next request.
    """
    head, end, rest = data.partition(_END_OF_HEAD)
    return _UPGRADE.sub(b"\r\nx-ignored-upgrade:", head) + end + rest


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with a bound on the head of a request and on the time until it is complete.

    uvicorn takes a protocol class and has no such settings of its own for httptools; hence the subclass.
    """

    _head = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """A connection must bring a whole request in time."""
        super().connection_made(transport)
        self._watch()

    def _watch(self) -> None:
        self._unwatch()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head is complete; too much ends the connection."""
        if self._head >= 0:
            self._head += len(data)
            if self._head > MAX_HEAD + BODY_AT_ONCE:
                self.transport.write(TOO_LARGE)
                self.transport.close()
                self._unwatch()
                return
            if _UPGRADE.search(data):
                data = without_upgrade(data)
        super().data_received(data)

    def _unsupported_upgrade_warning(self) -> None:
        """An `Upgrade` that came in pieces: what follows cannot be told from a request, so nothing may."""
        self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._watch()

    def on_headers_complete(self) -> None:
        """The head is complete; bodies are bounded by the routes."""
        self._head = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._unwatch()
        self._head = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        self._unwatch()
        super().connection_lost(exc)
