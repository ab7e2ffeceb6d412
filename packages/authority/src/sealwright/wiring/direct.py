"""Answers plain token requests straight from the connection; everything else is uvicorn's.

Every connection to the public port begins here. A plain POST to a token endpoint, whole within `MAX_WHOLE`
bytes, goes to the endpoint without an ASGI cycle and its task (ADR 0009). At the first one that is not so,
the connection is handed to uvicorn for the rest of its life, with all that was read and not answered.
httptools parses here as it does there. Clients with a secret send the same bytes again and again: the second
time they are not parsed, but the client is looked up as every time (ADR 0009).

This module may never answer what it does not understand: whatever is odd is handed over, malformed requests
included.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from sealwright.bounded_http import REQUEST_SECONDS, BoundedHttp, is_host
from sealwright.issuer.http import PATH_SUFFIX, TOKEN_HEADERS, Answer, Headers, TokenEndpoint
from sealwright.issuer.service import Decided

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


def _render(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


_TOKEN_LINES = _render(TOKEN_HEADERS)


class _Last(NamedTuple):
    """The last request of a connection, if the same bytes mean the same again. Not the bytes: a secret is in
    them.
    """

    length: int
    digest: bytes
    path: str
    decided: Decided


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
        self._last: _Last | None = None
        self._lines: list[tuple[bytes, bytes]] | None = None
        self._rendered = b""
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
            if self._last is not None and self._asked_again(self._last, data):
                return
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

    def _asked_again(self, last: _Last, data: bytes) -> bool:
        """Whether this is the last request once more, and was dealt with as that."""
        if len(data) != last.length or sha256(data).digest() != last.digest or not self._has_room():
            return False
        self._asked = True
        with self._closed_by_a_fault():
            if self._endpoint.ask_again(last.path, last.decided, self._respond):
                return True
        self._asked, self._last = False, None
        return False

    @contextlib.contextmanager
    def _closed_by_a_fault(self) -> Iterator[None]:
        """A fault of our own must not leave the connection open, and its client waiting."""
        whole = False
        try:
            yield
            whole = True
        finally:
            if not whole:
                self._transport.abort()

    def _has_room(self) -> bool:
        limit = self._config.limit_concurrency
        return limit is None or len(self._state.connections) < limit

    def _is_plain(self, read: _Read) -> bool:
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
            and self._has_room()
        )

    def _ask(self, read: _Read) -> None:
        whole, self._asked, self._unanswered = self._unanswered, True, b""
        url, headers, body = read.url.decode("ascii"), read.headers, read.body
        read.reset()
        with self._closed_by_a_fault():
            decided = self._endpoint.ask(url, headers, body, self._respond)
        if decided is not None and decided.repeatable:
            self._last = _Last(len(whole), sha256(whole).digest(), url, decided)

    def _hand_over(self) -> None:
        self._leave()
        if self._unread:
            self._transport.resume_reading()  # uvicorn does not know that it was paused
        successor = BoundedHttp(self._config, self._state, self._app_state, self._loop)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        successor.data_received(self._unanswered)

    def _respond(self, answer: Answer) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        status, headers, content = answer
        if self._lines is not self._state.default_headers:  # replaced every second: the date is one of them
            self._lines = self._state.default_headers
            self._rendered = _render(self._lines)
        transport.write(
            b"%b%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                _STATUS_LINES[status],
                self._rendered,
                _TOKEN_LINES if headers is TOKEN_HEADERS else _render(headers),
                b"connection: close\r\n" if self._ending else b"",
                len(content),
                content,
            )
        )
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
