"""Admin routes of the keys room. Behind the admin socket only; every change goes through the service.

Nothing here can show a private key: the authority has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.keys import rules
from sealwright.keys.model import Key, KeyState
from sealwright.keys.service import KeyService

MAX_BODY = 4_096
Audit = Callable[[str, str, dict[str, Any]], Coroutine[Any, Any, None]]
"""(action, subject, details) → durable audit record, before the change takes effect."""


class RevokeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/keys/{kid}/revoke`. `issued_before`: tokens issued before (seconds) stay valid."""

    reason: str
    issued_before: int | None = None


class RotateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/keys/rotate`; every realm when `realm` is null."""

    realm: str | None = None


def describe(key: Key, keys: list[Key], now: float, last_use: int | None = None) -> dict[str, Any]:
    """One key as operators see it, among all `keys`. Times in seconds since 1970, age in seconds."""
    change = rules.next_of(key, keys)
    return {
        "kid": key.kid,
        "realm": key.realm,
        "alg": key.algorithm,
        "state": key.state,
        "log_id": key.log_id,
        "ledger_index": key.ledger_index,
        "use_from": key.use_from,
        "use_until": key.use_until,
        "verify_until": key.verify_until,
        "changed_at": key.changed_at,
        "age": max(0, int(now - key.use_from)),
        "last_use": last_use,
        "next_change": {"to": change[0], "at": change[1]} if change else None,
        "revoked_reason": key.revoked_reason,
        "issued_before": key.issued_before,
    }


def _answer(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def admin_routes(
    service: KeyService,
    every: Callable[[], list[Key]],
    last_use: Callable[[Key], int | None],
    audit: Audit,
    clock: Clock,
) -> list[Route]:
    """`GET /admin/keys` and `/admin/keys/{kid}`, `POST /admin/keys/rotate` and `/admin/keys/{kid}/revoke`."""
    return [*_views(every, last_use, clock), *_changes(service, audit, clock)]


def _views(
    every: Callable[[], list[Key]], last_use: Callable[[Key], int | None], clock: Clock
) -> list[Route]:
    def listed() -> list[dict[str, Any]]:
        keys = every()
        live = [key for key in keys if key.published]
        used = {key.kid: last_use(key) for key in live if key.state is not KeyState.STAGED}
        return [describe(key, live, clock.now(), used.get(key.kid)) for key in keys]

    async def list_keys(_request: Request) -> Response:
        return _answer({"keys": await asyncio.to_thread(listed)})

    async def show(request: Request) -> Response:
        kid = request.path_params["kid"]
        keys = await asyncio.to_thread(every)
        found = next((key for key in keys if key.kid == kid), None)
        if found is None:
            return _answer({"error": "unknown_key", "message": "no such key"}, 404)
        used = await asyncio.to_thread(last_use, found)
        told = describe(found, keys, clock.now(), used)
        return _answer(told | {"jwk": found.jwk, "announcement": found.announcement})

    return [Route("/admin/keys", list_keys), Route("/admin/keys/{kid}", show)]


def _changes(service: KeyService, audit: Audit, clock: Clock) -> list[Route]:
    async def revoke(request: Request) -> Response:
        kid = request.path_params["kid"]
        try:
            asked = msgspec.json.decode((await request.body())[:MAX_BODY], type=RevokeRequest)
            await audit("keys.revoke", kid, msgspec.to_builtins(asked))
            await service.revoke(kid, asked.reason, asked.issued_before)
        except _FAILURES as error:
            return _refusal(error)
        return _answer({"revoked": kid, "manifest": service.manifest().version})

    async def rotate(request: Request) -> Response:
        try:
            asked = msgspec.json.decode((await request.body())[:MAX_BODY] or b"{}", type=RotateRequest)
            await audit("keys.rotate", asked.realm or "every realm", msgspec.to_builtins(asked))
            staged = await service.rotate(asked.realm)
        except _FAILURES as error:
            return _refusal(error)
        told = [describe(key, staged, clock.now()) for key in staged]
        return _answer({"staged": told, "manifest": service.manifest().version})

    return [
        Route("/admin/keys/rotate", rotate, methods=["POST"]),
        Route("/admin/keys/{kid}/revoke", revoke, methods=["POST"]),
    ]


_FAILURES = (msgspec.DecodeError, UnicodeDecodeError, Refused, Unavailable)


def _refusal(error: Exception) -> Response:
    if isinstance(error, Unavailable):
        return _answer({"error": error.code, "message": error.public}, 503)
    if isinstance(error, Refused):
        status = 404 if error.code in {"unknown_key", "unknown_realm"} else 409
        return _answer({"error": error.code, "message": error.public}, status)
    return _answer({"error": "malformed_request", "message": str(error)}, 400)
