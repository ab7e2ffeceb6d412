"""Routes of attested release, on the admin socket only: a front end that was taken over holds no secret of an
HSM by them, because whoever may use the socket may read the files as well.

The only file of the desk that knows status codes.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.admission.release import ReleaseDesk
from sealwright.errors import Refused, Unavailable

MAX_BODY = 6 << 20


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    purpose: str


class _Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nonce: str
    evidence: dict[str, Any]


def routes(desk: ReleaseDesk) -> list[Route]:
    """`POST /admin/release/nonce` {purpose} and `POST /admin/release` {nonce, evidence}."""

    async def nonce(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=_Asked)
            return _json({"nonce": desk.nonce(asked.purpose).hex()})
        except (msgspec.DecodeError, Refused) as error:
            return _refused(error)

    async def redeem(request: Request) -> Response:
        body = await request.body()
        try:
            shown = msgspec.json.decode(body if len(body) <= MAX_BODY else b"", type=_Shown)
            released = await desk.redeem(bytes.fromhex(shown.nonce), msgspec.json.encode(shown.evidence))
        except (msgspec.DecodeError, ValueError, Refused) as error:
            return _refused(error)
        except Unavailable as error:
            return _json({"error": error.code, "message": error.public}, 503)
        sealed = base64.b64encode(released.sealed).decode()
        return _json({"sealed": sealed, "expires_at": released.expires_at})

    return [
        Route("/admin/release/nonce", nonce, methods=["POST"]),
        Route("/admin/release", redeem, methods=["POST"]),
    ]


def _refused(error: Exception) -> Response:
    if isinstance(error, Refused):
        return _json({"error": error.code, "message": error.public}, 403)
    return _json({"error": "malformed_request", "message": "purpose, or nonce and evidence, are needed"}, 400)


def _json(content: Any, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
