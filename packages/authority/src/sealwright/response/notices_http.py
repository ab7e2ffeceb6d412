"""Admin routes of notices and approvals; the public half of the notice key on the public side.

Only knows status codes. An operator's name is what the owner of the admin socket says it is, and stands in
the audit trail beside the user id that said it; passkeys are for the console.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from sealwright.admin.model import Action
from sealwright.admin.service import Approvals
from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.response.notices import (
    Delivery,
    Notice,
    NoticeSigner,
    NoticeStore,
    SignedNotice,
    approval_details,
    publish,
    require_sendable,
    text_of,
)

MAX_BODY = 8 << 20
_STATUS = {"unknown_request": 404, "unknown_notice": 404}
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[A-Za-z0-9._@-]+\Z")]
Handler = Callable[[Request], Awaitable[HttpResponse]]
T = TypeVar("T")


class Drafts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/notices`."""

    incident: Annotated[str, Meta(min_length=1, max_length=64)]
    notices: Annotated[list[Notice], Meta(min_length=1, max_length=10_000)]
    operator: Name


class Sending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/notices/send`: the same drafts, and the request that was agreed to; `dry` only
    looks.
    """

    incident: str
    notices: list[Notice]
    request: str
    dry: bool = False


class Agreeing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/approvals/{id}/consent`."""

    operator: Name


class Delivered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/notices/{id}/delivered`: by which way it went to its tenant, and what came of
    it.
    """

    channel: Annotated[str, Meta(min_length=1, max_length=64)]
    outcome: Annotated[str, Meta(min_length=1, max_length=256)]


def routes(
    approvals: Approvals, store: NoticeStore, signer: NoticeSigner, clock: Clock, operator: str
) -> list[Route]:
    """`POST /admin/notices`, `/admin/notices/send`, `/admin/notices/{id}/delivered`;
    `GET /admin/notices?incident=`, `/admin/notices/{id}/deliveries`, `/admin/approvals`;
    `POST /admin/approvals/{id}/consent`.

    Args:
        approvals: requests and consents.
        store: notices and their deliveries.
        signer: signs notices.
        clock: the time.
        operator: who holds the socket.
    """

    async def ask(request: Request) -> HttpResponse:
        drafts = await _parsed(request, Drafts)
        details = approval_details(drafts.notices)
        who = f"{operator}/{drafts.operator}"
        asked = await approvals.request(who, Action.SEND_NOTICES, drafts.incident, details)
        return _json({"request": asked.id})

    async def consent(request: Request) -> HttpResponse:
        asked = await _parsed(request, Agreeing)
        who, which = f"{operator}/{asked.operator}", request.path_params["request_id"]
        waiting = {one.id: one.requested_by for one in await approvals.open_requests()}
        if waiting.get(which, "").casefold() == who.casefold():
            raise Refused("own_request", "You asked for this yourself; another operator must agree.")
        await approvals.consent(who, which)
        return _json({"agreed": asked.operator})

    async def waiting(_request: Request) -> HttpResponse:
        return _json({"requests": await approvals.open_requests()})

    async def send(request: Request) -> HttpResponse:
        asked = await _parsed(request, Sending)
        rehearsed = await approvals.rehearse(asked.request)  # an approval is used once: look before
        what = asked.notices, asked.incident, store
        await asyncio.to_thread(require_sendable, *what, rehearsed, clock.now())
        if asked.dry:
            return _json({"notices": [_name(notice) for notice in asked.notices]})
        approval = await approvals.approval(asked.request)
        made = await asyncio.to_thread(publish, *what, signer, approval, clock.now())
        return _json({"notices": [_shown(one) for one in made]})

    return [
        Route("/admin/notices", _told(ask), methods=["POST"]),
        Route("/admin/notices/send", _told(send), methods=["POST"]),
        Route("/admin/approvals", _told(waiting), methods=["GET"]),
        Route("/admin/approvals/{request_id}/consent", _told(consent), methods=["POST"]),
        *_kept(store, clock),
    ]


def _kept(store: NoticeStore, clock: Clock) -> list[Route]:
    async def known(request: Request) -> SignedNotice:
        found = await asyncio.to_thread(store.notice, request.path_params["notice_id"])
        if found is None:
            raise Refused("unknown_notice", "There is no such notice.")
        return found

    async def notices(request: Request) -> HttpResponse:
        found = await asyncio.to_thread(store.of_incident, request.query_params.get("incident", ""))
        told = [
            _shown(one) | {"deliveries": await asyncio.to_thread(store.deliveries, one.notice.id)}
            for one in found
        ]
        return _json({"notices": told})

    async def delivered(request: Request) -> HttpResponse:
        notice = (await known(request)).notice
        asked = await _parsed(request, Delivered)
        entry = Delivery(
            notice=notice.id,
            tenant=notice.tenant,
            channel=asked.channel,
            at=clock.now(),
            outcome=asked.outcome,
        )
        await asyncio.to_thread(store.log, entry)
        return _json({"kept": True})

    async def deliveries(request: Request) -> HttpResponse:
        notice = (await known(request)).notice
        return _json({"deliveries": await asyncio.to_thread(store.deliveries, notice.id)})

    return [
        Route("/admin/notices", _told(notices), methods=["GET"]),
        Route("/admin/notices/{notice_id}/delivered", _told(delivered), methods=["POST"]),
        Route("/admin/notices/{notice_id}/deliveries", _told(deliveries), methods=["GET"]),
    ]


def _name(notice: Notice) -> dict[str, Any]:
    return {"id": notice.id, "tenant": notice.tenant, "version": notice.version}


def _shown(made: SignedNotice) -> dict[str, Any]:
    content = {"notice": made.notice, "signed": made.signed, "text": text_of(made.notice)}
    return _name(made.notice) | content


def public_routes(jwks: dict[str, Any]) -> list[Route]:
    """`GET /notices/jwks.json`: with this, tenants check that a notice is ours."""

    async def keys(_request: Request) -> HttpResponse:
        return HttpResponse(
            msgspec.json.encode(jwks), 200, {"Cache-Control": "public, max-age=300"}, "application/json"
        )

    return [Route("/notices/jwks.json", keys, methods=["GET"])]


def _told(handler: Handler) -> Handler:
    async def handle(request: Request) -> HttpResponse:
        try:
            return await handler(request)
        except Refused as error:
            told = {"error": error.code, "message": error.public}
            return _json(told, _STATUS.get(error.code, 409))
        except Unavailable as error:
            return _json({"error": error.code, "message": error.public}, 503)

    return handle


async def _parsed(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode((await request.body())[:MAX_BODY], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("malformed_request", f"The request cannot be read: {error}") from error


def _json(content: Any, status: int = 200) -> HttpResponse:
    body = msgspec.json.encode(content)
    return HttpResponse(body, status, {"Cache-Control": "no-store"}, "application/json")
