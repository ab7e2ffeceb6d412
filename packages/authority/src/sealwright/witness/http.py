"""Routes of a witness: C2SP tlog-witness and a status page. Only this file of the room knows status codes.

There is no authentication: the log's signature is it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.errors import Misconfigured, Refused, SealwrightError
from sealwright.witness.rules import MAX_BODY
from sealwright.witness.service import SizeConflict, Witness

log = logging.getLogger(__name__)
SIZE_TYPE = "text/x.tlog.size"
_STATUS = {
    "malformed_request": 400,
    "old_above_size": 400,
    "log_signature": 403,
    "unknown_log": 404,
    "inconsistent": 422,
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def application(witness: Witness) -> Starlette:
    """The whole of a witness's HTTP interface."""
    return Starlette(
        routes=[
            Route("/add-checkpoint", _add_checkpoint(witness), methods=["POST"]),
            Route("/status", _status(witness)),
            Route("/{origin_digest}/checkpoint", _checkpoint(witness)),
        ]
    )


def _add_checkpoint(witness: Witness) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return _plain(413, f"a request has {MAX_BODY} bytes at the most")
        try:
            lines = await asyncio.to_thread(witness.add_checkpoint, body)
        except SizeConflict as conflict:
            return Response(f"{conflict.size}\n", 409, media_type=None, headers={"content-type": SIZE_TYPE})
        except Refused as refusal:
            return _plain(_STATUS[refusal.code], refusal.public)
        except Misconfigured as error:
            log.critical("own state cannot be used", extra={"facts": {"detail": error.public}})
            return _plain(503, "this witness cannot use what it kept of that log; its operator must look")
        except SealwrightError:
            return _plain(503, "the head cannot be made durable now")
        return _plain(200, lines.removesuffix("\n"))

    return answer


def _checkpoint(witness: Witness) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        digest = request.path_params["origin_digest"]
        note = await asyncio.to_thread(witness.checkpoint, digest) if _DIGEST.fullmatch(digest) else None
        if note is None:
            return _plain(404, "no head of such a log was cosigned here")
        return Response(note, 200, {"cache-control": "no-store"}, "text/plain; charset=utf-8")

    return answer


def _status(witness: Witness) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        logs = await asyncio.to_thread(witness.standings)
        told = {"name": witness.name, "vkeys": witness.vkeys, "logs": logs}
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(told), 200, headers, "application/json")

    return answer


def _plain(status: int, text: str) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(f"{text}\n", status, headers, "text/plain; charset=utf-8")
