"""Runs ASGI applications on sockets that we open ourselves: a TCP port, and a Unix socket only the owner can
use.

The sockets are bound before anything is served, so that a port in use is a clear error at start.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sealwright.errors import Misconfigured

BACKLOG = 1_024
MAX_HEAD = 65_536
"""Bytes of a request line with its headers."""
BODY_AT_ONCE = 262_144
"""Bytes that may come in one read with the head: a body that follows at once."""
REQUEST_SECONDS = 30
"""Seconds in which a request must be complete, from the connection or from its first byte."""
MAX_CONCURRENT = 4_096
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
GRACE = 5
"""Seconds that requests under way may take after a stop was asked for."""


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        Misconfigured: `port_in_use` or `cannot_listen`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Misconfigured(
                "port_in_use", f"{host}:{port} is in use; set another with server.port"
            ) from error
        raise Misconfigured("cannot_listen", f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def bind_unix(path: Path) -> socket.socket:
    """A listening Unix socket with mode 0600; a stale file of an earlier run is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise Misconfigured("cannot_listen", f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


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
        super().data_received(data)

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


class HttpServer:
    """One application on one listening socket, in the current event loop."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=GRACE,
                timeout_keep_alive=30,
                http=BoundedHttp,
                limit_concurrency=MAX_CONCURRENT,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`."""
        # `serve()` would install signal handlers of its own; two servers in one process need one owner of
        # them.
        await self._server._serve(sockets=[self._listener])  # noqa: SLF001

    def stop(self) -> None:
        """Stop accepting, finish what is under way."""
        self._server.should_exit = True
