"""Answers plain token requests straight from the connection; everything else is uvicorn's.

Every connection to the public port begins here. A plain POST to a token endpoint, whole within `MAX_WHOLE`
bytes, goes to the endpoint without an ASGI cycle and its task (ADR 0009). At the first one that is not so,
the connection is handed to uvicorn for the rest of its life, with all that was read and not answered.
httptools parses here as it does there.

This module may never answer what it does not understand: whatever is odd is handed over, malformed requests
included.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from sealwright.bounded_http import REQUEST_SECONDS, BoundedHttp, is_host
from sealwright.issuer.http import PATH_SUFFIX, Answer, TokenEndpoint

MAX_WHOLE = 16_384
"""Bytes of a request, head and body, that is dealt with here; half of what a body may have elsewhere."""
_SUFFIX = PATH_SUFFIX.encode()
_ODD_HEADERS = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
_STATUS_LINES = {
    200: b"HTTP/1.1 200 OK\r\n",
    400: b"HTTP/1.1 400 Bad Request\r\n",
    401: b"HTTP/1.1 401 Unauthorized\r\n",
    404: b"HTTP/1.1 404 Not Found\r\n",
    415: b"HTTP/1.1 415 Unsupported Media Type\r\n",
    500: b"HTTP/1.1 500 Internal Server Error\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\n",
}


class _Read:
    """What the parser sees in the bytes that were read and not answered."""

    __slots__ = ("begun", "body", "complete", "headers", "hosts", "odd", "url")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing was read."""
        self.begun, self.hosts, self.complete, self.odd = 0, 0, False, False
        self.url, self.body = b"", b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        """A request begins."""
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        if name in _ODD_HEADERS or (name == b"connection" and value.lower() != b"keep-alive"):
            self.odd = True
        if name == b"host":
            self.hosts += 1
            self.odd |= not is_host(value)
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """A request is there in whole."""
        self.complete = True


class DirectHttp(asyncio.Protocol):
    """One connection, until it is handed over. uvicorn makes it as it makes its own protocols."""

    def __init__(
        self,
        endpoint: TokenEndpoint,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._endpoint, self._config, self._state, self._app_state = endpoint, config, server_state, app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._unanswered, self._early = b"", b""
        self._asked = self._ending = self._unread = False
        self._read = _Read()
        self._parser = httptools.HttpRequestParser(self._read)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """A connection must bring a whole request in time."""
        self._transport = transport
        self._state.connections.add(self)  # type: ignore[arg-type] # counts and shuts down as uvicorn's own do
        self._since = self._loop.time()
        self._timer = self._loop.call_later(REQUEST_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's
        """Nothing more is waited for."""
        self._leave()

    def _leave(self) -> None:
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Close what has been idle, or half a request, for too long."""
        left = REQUEST_SECONDS if self._asked else self._since + REQUEST_SECONDS - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._transport.get_write_buffer_size():
            self._transport.abort()  # it does not read either
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        """Read no more requests of a client that does not read its answers."""
        self._unread = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._unread = False
        self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The client has sent all that it will: it still gets the answer that it waits for."""
        self._ending = True
        return self._asked

    def let_go(self) -> None:
        """End with the next answer; nothing is closed now."""
        self._ending = True

    def shutdown(self) -> None:
        """Finish what is under way, then close; uvicorn asks for it when it stops."""
        self._ending = True
        if not self._asked:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole and plain, wait for one that is not whole, hand over any other."""
        if self._asked:
            self._early += data
            if len(self._early) > MAX_WHOLE:
                self._transport.pause_reading()
            return
        if not self._unanswered:
            self._since = self._loop.time()
        self._unanswered += data
        read = self._read
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            read.odd = True
        if read.odd or read.begun > 1 or len(self._unanswered) > MAX_WHOLE:
            self._hand_over()
        elif read.complete:
            if self._is_plain(read):
                self._ask(read)
            else:
                self._hand_over()

    def _is_plain(self, read: _Read) -> bool:
        limit = self._config.limit_concurrency
        url = read.url
        return (
            self._parser.get_method() == b"POST"
            and read.hosts == 1
            and url.endswith(_SUFFIX)
            and url.startswith(b"/")
            and b"%" not in url
            and b"?" not in url
            and url.isascii()
            and self._parser.get_http_version() == "1.1"
            and (limit is None or len(self._state.connections) < limit)
        )

    def _ask(self, read: _Read) -> None:
        self._asked, self._unanswered = True, b""
        url, headers, body = read.url.decode("ascii"), read.headers, read.body
        read.reset()
        self._endpoint.ask(url, headers, body, self._respond)

    def _hand_over(self) -> None:
        self._leave()
        successor = BoundedHttp(self._config, self._state, self._app_state, self._loop)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        successor.data_received(self._unanswered)

    def _respond(self, answer: Answer) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        status, headers, content = answer
        parts = [_STATUS_LINES[status]]
        parts += [b"%b: %b\r\n" % header for header in self._state.default_headers]
        parts += [b"%b: %b\r\n" % header for header in headers]
        if self._ending:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n" % len(content))
        parts.append(content)
        transport.write(b"".join(parts))
        self._state.total_requests += 1
        self._asked = False
        if self._ending:
            transport.close()
            return
        self._since = self._loop.time()
        if self._early:
            early, self._early = self._early, b""
            if not self._unread:
                transport.resume_reading()
            self.data_received(early)
