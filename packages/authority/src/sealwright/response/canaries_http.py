"""Admin routes of canaries: `GET` and `POST /admin/canaries`. Planting is audited before it is done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.response.desk import Desk
from sealwright.response.model import Canary
from sealwright.response.ports import CanaryStore

MAX_BODY = 4_096
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class PlantRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/canaries`: a token by its digest (hex), a key by its kid; `dry` only looks."""

    kind: Literal["token", "key"]
    value: Annotated[str, Meta(min_length=1, max_length=256)]
    note: Annotated[str, Meta(max_length=256)] = ""
    dry: bool = False


def require_plantable(asked: PlantRequest, planted: Collection[Canary]) -> None:
    """Refuse what could never be seen, or is there already.

    Raises:
        Refused: `bad_digest`, or `canary_known`.
    """
    if asked.kind == "token" and not _DIGEST.fullmatch(asked.value):
        raise Refused("bad_digest", "A token is named by its digest: 64 lowercase hex digits.")
    if any((one.kind, one.value) == (asked.kind, asked.value) for one in planted):
        raise Refused("canary_known", "That is planted already.")


def routes(store: CanaryStore, desk: Desk, clock: Clock, operator: str) -> list[Route]:
    """What is planted, and planting."""

    async def planted(_request: Request) -> HttpResponse:
        return _json({"canaries": await asyncio.to_thread(store.planted)})

    async def plant(request: Request) -> HttpResponse:
        try:
            asked = msgspec.json.decode((await request.body())[:MAX_BODY], type=PlantRequest)
            require_plantable(asked, await asyncio.to_thread(store.planted))
            if asked.dry:
                return _json({"planted": None})
            await desk.audit(operator, "plant_canary", f"{asked.kind} {asked.value}")
            canary = Canary(kind=asked.kind, value=asked.value, planted_at=clock.now(), note=asked.note)
            await asyncio.to_thread(store.plant, canary)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _json({"error": "malformed_request", "message": str(error)}, 400)
        except Refused as error:
            return _json({"error": error.code, "message": error.public}, 409)
        except Unavailable as error:
            return _json({"error": error.code, "message": error.public}, 503)
        return _json({"planted": canary}, 201)

    return [
        Route("/admin/canaries", planted, methods=["GET"]),
        Route("/admin/canaries", plant, methods=["POST"]),
    ]


def _json(content: Any, status: int = 200) -> HttpResponse:
    body = msgspec.json.encode(content)
    return HttpResponse(body, status, {"Cache-Control": "no-store"}, "application/json")
