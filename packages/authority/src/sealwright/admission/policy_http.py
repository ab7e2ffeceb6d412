"""Admin routes of the admission policy: what is in force, ask for another, put it in force, revoke an image.

Only knows status codes. Who the operator is, the owner of the admin socket says; their user id stands beside
it in the audit trail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.admission.policy_desk import PolicyDesk
from sealwright.errors import Refused, Unavailable

MAX_BODY = 2 << 20
_STATUS = {"unknown_request": 404, "no_policy": 404, "malformed_request": 400}
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[A-Za-z0-9._@-]+\Z")]
Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


class Asking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/admission/policy`."""

    document: str
    operator: Name


class Changing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/admission/policy/change`: the same document, and what was agreed to."""

    document: str
    request: str


class Revoking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/admission/revoked`. `grace` is seconds."""

    digest: str
    reason: str
    grace: int
    operator: Name


def routes(desk: PolicyDesk, owner: str) -> list[Route]:
    """`GET` and `POST /admin/admission/policy`, `POST /admin/admission/policy/change` and `/revoked`.

    Args:
        desk: what operators do.
        owner: who holds the socket.
    """

    async def shown(_request: Request) -> Response:
        return _json(await desk.shown())

    async def ask(request: Request) -> Response:
        asked = await _parsed(request, Asking)
        return _json({"request": await desk.ask(asked.document, f"{owner}/{asked.operator}")})

    async def change(request: Request) -> Response:
        asked = await _parsed(request, Changing)
        return _json({"policy": await desk.change(asked.document, asked.request)})

    async def revoke(request: Request) -> Response:
        asked = await _parsed(request, Revoking)
        by = f"{owner}/{asked.operator}"
        return _json({"policy": await desk.revoke(asked.digest, asked.reason, asked.grace, by)})

    return [
        Route("/admin/admission/policy", _told(shown), methods=["GET"]),
        Route("/admin/admission/policy", _told(ask), methods=["POST"]),
        Route("/admin/admission/policy/change", _told(change), methods=["POST"]),
        Route("/admin/admission/revoked", _told(revoke), methods=["POST"]),
    ]


def _told(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return _json({"error": error.code, "message": error.public}, _STATUS.get(error.code, 409))
        except Unavailable as error:
            return _json({"error": error.code, "message": error.public}, 503)

    return handle


async def _parsed(request: Request, kind: type[T]) -> T:
    body = await request.body()
    try:
        return msgspec.json.decode(body if len(body) <= MAX_BODY else b"", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("malformed_request", f"the request cannot be read: {error}") from error


def _json(content: Any, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
