"""ASGI middleware: a request reaches the application with a verified token or not at all.

May never let a request through that it does not understand, and may never put a private detail into an
answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from sealwright_validate.challenge import bearer_token, challenge
from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.validate import Validator

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG: Final = logging.getLogger("sealwright_validate")
_POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1


class SealwrightMiddleware:
    """Wraps an ASGI application. The verified token is in `scope["sealwright"]`.

    `public_paths` are exact paths that need no token (health checks); nothing is public by prefix.
    """

    def __init__(
        self, app: App, *, validator: Validator, expect: Expect, public_paths: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._validator = validator
        self._expect = expect
        self._public = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3)."""
        kind = scope["type"]
        if kind == "lifespan":
            await asyncio.to_thread(self._validator.start)
            await self._app(scope, receive, send)
            return
        scope.pop("sealwright", None)
        if kind == "http" and scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        try:
            token = bearer_token(
                value for name, value in scope["headers"] if name.lower() == b"authorization"
            )
            scope["sealwright"] = await self._validator.validate_async(token, self._expect)
        except Refused as refusal:
            _LOG.info("refused: %s", refusal)
            await self._refuse(kind, refusal, send)
            return
        await self._app(scope, receive, send)

    async def _refuse(self, kind: str, refusal: Refused, send: Send) -> None:
        if kind == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.public})
            return
        answer = challenge(refusal, scopes=self._expect.scopes)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
