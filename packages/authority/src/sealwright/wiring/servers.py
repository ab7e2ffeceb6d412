"""Runs ASGI applications on sockets that we open ourselves: a TCP port, and a Unix socket only the owner can
use.

The sockets are bound before anything is served, so that a port in use is a clear error at start.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from sealwright.bounded_http import BoundedHttp
from sealwright.errors import Misconfigured
from sealwright.issuer.http import TokenEndpoint
from sealwright.wiring.direct import DirectHttp

BACKLOG = 1_024
MAX_CONCURRENT = 4_096
DRAIN = 1.0
"""Seconds that a connection may stay quiet before it is closed at a stop."""
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


class HttpServer:
    """One application on one listening socket, in the current event loop.

    Args:
        app: ASGI application.
        listener: bound and listening.
        direct: token endpoints whose plain requests are answered without an ASGI cycle.
    """

    def __init__(self, app: Any, listener: socket.socket, direct: TokenEndpoint | None = None) -> None:
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
                http=BoundedHttp if direct is None else partial(DirectHttp, direct),  # type: ignore[arg-type]
                proxy_headers=False,
                ws="none",
                limit_concurrency=MAX_CONCURRENT,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`."""
        # `serve()` would install signal handlers of its own; two servers in one process need one owner of
        # them.
        await self._server._serve(sockets=[self._listener])  # noqa: SLF001

    async def drain(self) -> None:
        """Accept nobody more, and let clients go: each connection ends with its next answer, and one that
        asks nothing is kept for up to `DRAIN` seconds, so that no request meets a closing connection.
        """
        for server in self._server.servers:
            server.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN
        while loop.time() < until:
            direct = [c for c in self._server.server_state.connections if isinstance(c, DirectHttp)]
            if not direct:
                return
            for connection in direct:
                connection.let_go()
            await asyncio.sleep(DRAIN / 50)

    def stop(self) -> None:
        """Stop accepting, finish what is under way."""
        self._server.should_exit = True
