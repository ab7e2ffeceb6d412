"""The push endpoint (RFC 8935) as an ASGI application: mount it where the stream's `endpoint_url` points.

May never answer 202 for an event that is not kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sealwright_validate.signals.sets import MAX_SET_BYTES
from sealwright_validate.signals.signals import Signals

_Receive = Callable[[], Awaitable[Mapping[str, Any]]]
_Send = Callable[[Mapping[str, Any]], Awaitable[None]]
METHOD_NOT_ALLOWED: Final = 405


class PushEndpoint:
    """`authorization` is the `authorization_header` that the stream was made with."""

    def __init__(self, signals: Signals, authorization: str) -> None:
        self._signals = signals
        self._authorization = authorization

    async def __call__(self, scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError("only http is answered here")
        if scope["method"] != "POST":
            await _answer(send, METHOD_NOT_ALLOWED, b"")
            return
        body = bytearray()
        more = True
        while more and len(body) <= MAX_SET_BYTES:
            message = await receive()
            body += message.get("body", b"")
            more = bool(message.get("more_body"))
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        status, content = await asyncio.to_thread(
            self._signals.take_push,
            bytes(body),
            headers.get("content-type"),
            headers.get("authorization"),
            self._authorization,
        )
        await _answer(send, status, content)


async def _answer(send: _Send, status: int, content: bytes) -> None:
    headers = [(b"content-type", b"application/json")] if content else []
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
