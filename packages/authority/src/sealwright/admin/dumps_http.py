"""The route by which a dump gate enters its steps: each is audited, and its digest becomes a ledger leaf.

The gate asks before it takes a step and takes it only on our answer. Nothing here sees a dump.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.admin.model import DetailValue
from sealwright.admin.service import Auditor
from sealwright.errors import Unavailable

STEPS = (
    "rejected",
    "quarantined",
    "dropped",
    "refused",
    "redacted",
    "approved",
    "releasing",
    "released",
    "withheld",
)
MAX_BODY = 4_096
_NAME = re.compile(r"\A[A-Za-z0-9._-]{1,80}\Z")


class DumpStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gate is about to do, to which dump, with its facts (digests, class, approver; never content)."""

    step: str
    name: str
    facts: dict[str, DetailValue]


def routes(auditor: Auditor, gate: str) -> list[Route]:
    """`POST /admin/dumps/steps`.

    Args:
        auditor: the audit trail; it states each entry in the ledger.
        gate: who it is that asks, as the trail shall name it.
    """

    async def enter(request: Request) -> Response:
        body = await request.body()
        try:
            step = msgspec.json.decode(body, type=DumpStep)
        except msgspec.DecodeError:
            return _json({"error": "malformed_step", "message": "step, name and facts are needed"}, 400)
        if len(body) > MAX_BODY or step.step not in STEPS or not _NAME.match(step.name):
            return _json({"error": "malformed_step", "message": f"steps are {', '.join(STEPS)}"}, 400)
        try:
            entry = await auditor.audit(gate, f"dump_{step.step}", step.name, step.facts)
        except Unavailable as error:
            return _json({"error": error.code, "message": error.public}, 503)
        return _json({"seq": entry.seq, "digest": entry.digest}, 200)

    return [Route("/admin/dumps/steps", enter, methods=["POST"])]


def _json(content: Any, status: int) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
