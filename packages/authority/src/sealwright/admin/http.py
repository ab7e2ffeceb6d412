"""Routes of the admin surface: status, audit trail, metrics. Served on a Unix socket, never on a network
port.

The only file of the room that knows status codes. Reads only.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.admin.ports import StatusSource
from sealwright.admin.service import PAGE_MAX, Auditor
from sealwright.errors import Unavailable

PAGE_DEFAULT = 100
_CURSOR = re.compile(r"\A[0-9]{1,18}\Z")


def routes(sources: Mapping[str, StatusSource], auditor: Auditor, registry: CollectorRegistry) -> list[Route]:
    """`GET /admin/status`, `GET /admin/audit` and `GET /metrics`.

    Args:
        sources: rooms by the name under which their status is shown.
        auditor: the audit trail.
        registry: where every room registered its figures.
    """

    async def status(_request: Request) -> Response:
        return _json({name: dict(source.status()) for name, source in sources.items()}, 200)

    async def audit(request: Request) -> Response:
        after, limit = (
            request.query_params.get("after", "0"),
            request.query_params.get("limit", str(PAGE_DEFAULT)),
        )
        if not _CURSOR.match(after) or not _CURSOR.match(limit):
            return _json(
                {"error": "malformed_cursor", "message": "A cursor or limit is a whole number."}, 400
            )
        try:
            entries = await auditor.page(int(after), max(1, min(int(limit), PAGE_MAX)))
        except Unavailable as error:
            return _json({"error": error.code, "message": error.public}, 503)
        return _json({"entries": entries, "next": entries[-1].seq if entries else int(after)}, 200)

    async def metrics(_request: Request) -> Response:
        page = await asyncio.to_thread(generate_latest, registry)
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/admin/status", status, methods=["GET"]),
        Route("/admin/audit", audit, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


def _json(content: Any, status: int) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
