"""Every request to the admin surface leaves a trace: who, when, what, and the digest of the request.

What a request changes is audited by the room that changes it, with the digest of the request beside it; what
it only reads is audited here, before it is answered. May never answer a read that could not be audited, and
never keep a body: only its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

import msgspec

from sealwright.errors import Unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Audit = Callable[[str, str], Awaitable[object]]
"""(action, subject): keeps one entry."""

MAX_BODY = 4 * 1024 * 1024
FIGURES = frozenset({"/metrics", "/admin/status"})
"""Asked for every few seconds by monitoring; figures about nobody."""
READS = frozenset({"GET", "HEAD"})
request_digest: ContextVar[str | None] = ContextVar("request_digest", default=None)
"""Hex SHA-256 over method, path, query and body of the admin request that is being answered."""


class AuditedRequests:
    """The admin application with a trace of every request.

    Args:
        app: the routes.
        audit: keeps an entry for a read.
    """

    def __init__(self, app: App, audit: Audit) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            await _problem(send, 413, "body_too_large", "The body is too large.")
            return
        method, path = str(scope["method"]), str(scope["path"])
        asked = b"\n".join((method.encode(), path.encode(), bytes(scope.get("query_string", b"")), body))
        token = request_digest.set(hashlib.sha256(asked).hexdigest())
        try:
            if method in READS and path not in FIGURES:
                await self._audit("admin.read", path)
            await self._app(scope, _replayed(body, receive), send)
        except Unavailable as error:
            await _problem(send, 503, error.code, error.public)
        finally:
            request_digest.reset(token)


async def _whole(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()  # the end of the connection
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _problem(send: Send, status: int, code: str, text: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = msgspec.json.encode({"error": code, "message": text})
    await send({"type": "http.response.body", "body": body})
