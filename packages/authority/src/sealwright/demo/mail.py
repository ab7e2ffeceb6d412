"""The mail API that both demo relying parties serve: the same few messages, whoever guards them.

May never decide who may read: that is the guard's work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

HEALTH = "/healthz"
MESSAGES = (
    {
        "from": "minister@state.example",
        "subject": "Travel to the summit",
        "text": "The visit stays confidential.",
    },
    {
        "from": "counsel@state.example",
        "subject": "Draft of the agreement",
        "text": "Comments by Friday, please.",
    },
    {
        "from": "it@state.example",
        "subject": "Sign-in changes",
        "text": "Tokens are now checked against a ledger.",
    },
)

Reader = Callable[[Request], str]
"""Who the guard says is reading."""


def mail_routes(guard: str, reader: Reader, health: Callable[[], dict[str, Any]]) -> list[Route]:
    """`GET /messages` and `GET /healthz`.

    Args:
        guard: how this instance is guarded, shown in every answer.
        reader: names the client of a request that the guard let through.
        health: facts for the health check; `ready` says whether it can serve.
    """

    async def messages(request: Request) -> JSONResponse:
        return JSONResponse({"guarded_by": guard, "reader": reader(request), "messages": MESSAGES})

    async def healthz(_request: Request) -> JSONResponse:
        facts = health()
        return JSONResponse(facts, 200 if facts.get("ready") else 503)

    return [Route("/messages", messages, methods=["GET"]), Route(HEALTH, healthz, methods=["GET"])]


def mail_app(routes: list[Route]) -> Starlette:
    """The application around the routes."""
    return Starlette(routes=routes)
