"""HTTP/1.1 with bounds on the head of a request and on the time until it is complete, for every server here.

- What is not body has at most `MAX_HEAD` bytes, with chunk extensions and trailers: 431.
- A request names its host once (RFC 9112 section 3.2): 400.
- An escaped slash in the path stays escaped, so that it separates nothing (RFC 3986 section 2.2).

May never read a body on its own account: bodies are bounded by the routes.
"""

from __future__ import annotations

import asyncio
import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request that are not body, to within `PIECE`."""
PIECE = 1_024
"""Bytes that are parsed at a time: of more, nobody could say how much was head and how much body."""
LINGER_SECONDS = 2
"""Seconds for which the rest of a refused head is thrown away: closing at once could take the answer back."""
REQUEST_SECONDS = 30
"""Seconds in which a request must be complete, from the connection or from its first byte."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_SLASH = re.compile(rb"%(?=2f)", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


def is_host(value: bytes) -> bool:
    """Whether a `Host` is a host with or without a port (RFC 9110 section 7.2)."""
    return _HOST.fullmatch(value) is not None


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

    _in_head = True
    _bare = 0
    _body_seen = False
    _refused = False
    _reason: str | None = None
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
        """Parse piece by piece, and count what is not body; too much ends the connection."""
        if self._in_head and _UPGRADE.search(data):
            data = without_upgrade(data)
        for at in range(0, len(data), PIECE):
            if self._refused or self.transport.is_closing():
                return
            piece = data[at : at + PIECE]
            self._body_seen = False
            self._bare += len(piece)
            super().data_received(piece)
            if self._body_seen:
                self._bare -= min(self._bare, len(piece))
            if self._bare > MAX_HEAD and not self.transport.is_closing():
                self._refuse()

    def _refuse(self) -> None:
        self._refused = True
        self.transport.write(TOO_LARGE)
        self._unwatch()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self._give_up)

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong, where it is known."""
        super().send_400_response(self._reason or msg)

    def _unsupported_upgrade_warning(self) -> None:
        """An `Upgrade` that came in pieces: what follows cannot be told from a request, so nothing may."""
        self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._watch()

    def on_headers_complete(self) -> None:
        """The head is complete; bodies are bounded by the routes."""
        hosts = [value for name, value in self.headers if name == b"host"]
        missing = not hosts and self.parser.get_http_version() == "1.1"
        if missing or len(hosts) > 1 or not all(map(is_host, hosts)):
            self._reason = "A request needs one valid Host."
            raise ValueError(self._reason)  # the parser stops, and `send_400_response` is called
        path, mark, query = self.url.partition(b"?")
        self.url = _SLASH.sub(b"%25", path) + mark + query
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_seen = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._unwatch()
        self._in_head, self._bare = True, 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        self._unwatch()
        super().connection_lost(exc)
