"""Admin routes of the keys room. Behind the admin socket only; every change goes through the service.

Nothing here can show a private key: the authority has none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.keys.model import Key
from sealwright.keys.service import KeyService

MAX_BODY = 4_096
Audit = Callable[[str, str, dict[str, Any]], Coroutine[Any, Any, None]]
"""(action, subject, details) → durable audit record, before the change takes effect."""


class RevokeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/keys/{kid}/revoke`. `issued_before`: tokens issued before (seconds) stay valid."""

    reason: str
    issued_before: int | None = None


def describe(key: Key, now: float) -> dict[str, Any]:
    """One key as operators see it. Times in seconds since 1970, age in seconds."""
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
        "revoked_reason": key.revoked_reason,
        "issued_before": key.issued_before,
    }


def _answer(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def admin_routes(
    service: KeyService, every: Callable[[], list[Key]], audit: Audit, clock: Clock
) -> list[Route]:
    """`GET /admin/keys`, `GET /admin/keys/{kid}`, `POST /admin/keys/{kid}/revoke`."""

    async def list_keys(_request: Request) -> Response:
        return _answer({"keys": [describe(key, clock.now()) for key in every()]})

    async def show(request: Request) -> Response:
        kid = request.path_params["kid"]
        found = next((key for key in every() if key.kid == kid), None)
        if found is None:
            return _answer({"error": "unknown_key", "message": "no such key"}, 404)
        return _answer(describe(found, clock.now()) | {"jwk": found.jwk, "announcement": found.announcement})

    async def revoke(request: Request) -> Response:
        kid = request.path_params["kid"]
        try:
            asked = msgspec.json.decode((await request.body())[:MAX_BODY], type=RevokeRequest)
            await audit("keys.revoke", kid, msgspec.to_builtins(asked))
            await service.revoke(kid, asked.reason, asked.issued_before)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _answer({"error": "malformed_request", "message": str(error)}, 400)
        except Refused as error:
            status = 404 if error.code == "unknown_key" else 409
            return _answer({"error": error.code, "message": error.public}, status)
        except Unavailable as error:
            return _answer({"error": error.code, "message": error.public}, 503)
        return _answer({"revoked": kid, "manifest": service.manifest().version})

    return [
        Route("/admin/keys", list_keys),
        Route("/admin/keys/{kid}", show),
        Route("/admin/keys/{kid}/revoke", revoke, methods=["POST"]),
    ]
