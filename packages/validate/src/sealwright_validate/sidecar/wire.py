"""A small HTTP/1.1 server on asyncio: reads bounded request heads, answers, keeps connections.

For proxies on the same machine, so it does one thing: no chunked bodies, no continuation lines, no upgrade.
Anything it does not understand ends the connection with a 4xx. May never buffer more than its bounds.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

MAX_HEAD: Final = 48 * 1024
MAX_BODY: Final = 64 * 1024
_MAX_HEADERS: Final = 128
_IDLE: Final = 120.0  # seconds of silence after which a connection is closed
_MAX_WAITING: Final = 64  # requests that one connection may have sent ahead
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]{0,8191}) HTTP/1\.([01])\Z").match
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z").match
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request head. Header names are in lower case; values are in the order in which they came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    keep_alive: bool

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header; its name in lower case."""
        return tuple(value for found, value in self.headers if found == name)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer; `Content-Length` is added."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


class BadRequestError(Exception):
    """The bytes are no request that this server reads; the argument is the status to end with."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other, in order."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = bytearray()
        self._skip = 0
        self._waiting: list[HttpRequest] = []
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer, and begin to watch for silence."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._loop.call_later(_IDLE, self._end_if_idle)

    def pause_writing(self) -> None:
        """The other side does not read: answer nothing more until it does."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The other side reads again."""
        self._writable.set()

    def _end_if_idle(self) -> None:
        silent = self._loop.time() - self._heard_at
        if self._closing or self._transport is None:
            return
        if silent >= _IDLE and self._task is None:
            self._transport.close()
        else:
            self._loop.call_later(max(1.0, _IDLE - silent), self._end_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Drop what waits: nobody hears the answer."""
        self._closing = True
        self._waiting.clear()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Take requests out of the bytes and answer them."""
        if self._closing:
            return
        self._heard_at = self._loop.time()
        self._buffer += data
        try:
            while (request := self._next_request()) is not None:
                self._waiting.append(request)
        except BadRequestError as error:
            self._closing = True
            if self._task is None:
                self._send(HttpAnswer(error.status), keep_alive=False)
            elif self._transport is not None:
                self._transport.close()
            return
        if self._waiting and self._task is None:
            self._task = self._loop.create_task(self._answer_all())

    def _next_request(self) -> HttpRequest | None:
        if self._skip:
            skipped = min(self._skip, len(self._buffer))
            del self._buffer[:skipped]
            self._skip -= skipped
        end = self._buffer.find(_END)
        if end < 0 or self._skip:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return None
        if end > MAX_HEAD or len(self._waiting) >= _MAX_WAITING:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        head = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        request = read_head(head)
        self._skip = body_length(request)
        return request

    async def _answer_all(self) -> None:
        finished = False
        try:
            while self._waiting:
                request = self._waiting.pop(0)
                answer = await self._handler(request)
                await self._writable.wait()
                if self._transport is None or self._transport.is_closing():
                    return
                self._send(answer, keep_alive=request.keep_alive)
                if not request.keep_alive:
                    return
            finished = True
        finally:
            self._task = None
            if not finished and self._transport is not None:
                self._transport.close()  # after a fault too: no answer means that nothing passes

    def _send(self, answer: HttpAnswer, *, keep_alive: bool) -> None:
        if self._transport is None:
            return
        status = HTTPStatus(answer.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if not keep_alive:
            lines.append("Connection: close")
        self._transport.write("\r\n".join(lines).encode("latin-1") + _END + answer.body)
        if not keep_alive:
            self._closing = True
            self._transport.close()


def read_head(head: bytes) -> HttpRequest:
    """The request in a head without its empty line; raises BadRequestError (RFC 9112 §3, §5)."""
    first, *rest = head.split(b"\r\n")
    line = _REQUEST_LINE(first)
    if line is None or len(rest) > _MAX_HEADERS:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = []
    for field in rest:
        name, colon, value = field.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _NAME(name) or b"\n" in value or b"\r" in value or b"\0" in value:
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        headers.append((name.decode("ascii").lower(), value.decode("latin-1")))
    wishes = ",".join(value.lower() for name, value in headers if name == "connection")
    keep_alive = "close" not in wishes and (line[3] == b"1" or "keep-alive" in wishes)
    return HttpRequest(line[1].decode("ascii"), line[2].decode("ascii"), tuple(headers), keep_alive)


def body_length(request: HttpRequest) -> int:
    """The number of body bytes to skip: a check looks at no body."""
    lengths = set(request.values("content-length")) - {""}
    if request.values("transfer-encoding"):
        raise BadRequestError(HTTPStatus.LENGTH_REQUIRED)
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    (length,) = lengths
    if not length.isascii() or not length.isdecimal() or len(length) > 9:  # noqa: PLR2004 - digits
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if int(length) > MAX_BODY:
        raise BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(length)
