"""ASGI middleware: a request reaches the application with a verified token or not at all.

May never let a request through that it does not understand, and may never put a private detail into an
answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.guard import Guard, Request
from sealwright_validate.possession import certificate_from_header
from sealwright_validate.validate import Validator

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG: Final = logging.getLogger("sealwright_validate")
_POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1


class SealwrightMiddleware:
    """Wraps an ASGI application. The verified token is in `scope["sealwright"]`.

    `public_paths` are exact paths that need no token (health checks); nothing is public by prefix. `origin`
    and `certificate_header` are as with `Guard`; a server with the ASGI TLS extension needs no certificate
    header.
    """

    def __init__(
        self,
        app: App,
        *,
        validator: Validator,
        expect: Expect,
        public_paths: Iterable[str] = (),
        origin: str | None = None,
        certificate_header: str | None = None,
    ) -> None:
        self._app = app
        self._guard = Guard(validator, expect, origin=origin, certificate_header=certificate_header)
        self._public = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3)."""
        kind = scope["type"]
        if kind == "lifespan":
            await asyncio.to_thread(self._guard.validator.start)
            await self._app(scope, receive, send)
            return
        scope.pop("sealwright", None)
        if kind == "http" and scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        try:
            request = request_of(scope, self._guard.certificate_header)
            scope["sealwright"] = await self._guard.admit_async(request)
        except Refused as refusal:
            _LOG.info("refused: %s", refusal)
            await self._refuse(kind, refusal, send)
            return
        await self._app(scope, receive, send)

    async def _refuse(self, kind: str, refusal: Refused, send: Send) -> None:
        if kind == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.public})
            return
        answer = self._guard.answer(refusal)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def request_of(scope: Scope, certificate_header: str | None) -> Request:
    """What a guard needs of an ASGI connection."""

    def values(wanted: str) -> tuple[str, ...]:
        name = wanted.lower().encode()
        return tuple(value.decode("latin-1") for found, value in scope["headers"] if found.lower() == name)

    path = scope.get("raw_path") or str(scope["path"]).encode("latin-1", "replace")
    return Request(
        method=scope.get("method", "GET"),
        path=path.decode("latin-1"),
        authorization=values("authorization"),
        dpop=values("dpop"),
        certificate_headers=values(certificate_header) if certificate_header else (),
        certificate=_client_certificate(scope),
        receipts=values("sealwright-receipt"),
    )


def _client_certificate(scope: Scope) -> bytes | None:
    """The client's certificate by the ASGI TLS extension."""
    tls: Any = (scope.get("extensions") or {}).get("tls") or {}
    chain = tls.get("client_cert_chain") or ()
    return certificate_from_header(chain[0].replace("\n", " ")) if chain else None
