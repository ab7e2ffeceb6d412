"""Admin routes of response: incidents, what was decided about them, and acts of operators.

The only file of the room that knows status codes. Every act is audited before it is done; with `dry` it is
only previewed.
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
from sealwright.detection.casebook import Casebook
from sealwright.detection.incidents import Incident
from sealwright.errors import Refused, Unavailable
from sealwright.response.desk import BY_HAND, Desk
from sealwright.response.model import Response
from sealwright.response.ports import ResponseStore, Strictness

MAX_BODY = 65_536
_STATUS = {"unknown_incident": 404, "unknown_response": 404, "unknown_key": 404, "unknown_client": 404}
Handler = Callable[[Request], Awaitable[HttpResponse]]
T = TypeVar("T")


class ActRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/act`."""

    action: Action
    subject: Annotated[str, Meta(min_length=1, max_length=512)]
    reason: Annotated[str, Meta(min_length=1, max_length=200)] = "operator"
    dry: bool = True


class ApplyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/responses/{id}/apply`."""

    dry: bool = True


class RelaxRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/realms/{realm}/relax`."""

    dry: bool = True


def routes(
    casebook: Casebook, store: ResponseStore, desk: Desk, operator: str, strict: Strictness
) -> list[Route]:
    """`GET /admin/incidents`, `GET /admin/incidents/{id}`, `GET /admin/responses`, `POST /admin/act`,
    `POST /admin/responses/{id}/apply`, `POST /admin/realms/{realm}/relax`.

    Args:
        casebook: the incidents.
        store: what rules decided.
        desk: carries out what operators decide.
        operator: who asks, as the audit trail names them.
        strict: takes back that a realm was raised to strict.
    """

    async def incidents(_request: Request) -> HttpResponse:
        found = await casebook.incidents()
        return _json({"incidents": [_summary(one) for one in found]})

    async def incident(request: Request) -> HttpResponse:
        found = await casebook.incident(request.path_params["incident_id"])
        if found is None:
            raise Refused("unknown_incident", "There is no such incident.")
        realm = await asyncio.to_thread(desk.realm_of, found.about.removeprefix("key "))
        responses = [
            one
            for one in await _all(store)
            if casebook.incident_of(one.decision.alarm_id) == found.id or _is_about(one, found, realm)
        ]
        return _json({**_summary(found), "timeline": _timeline(found, responses)})

    async def responses(_request: Request) -> HttpResponse:
        found = await _all(store)
        told = [
            {**msgspec.to_builtins(one), "incident": casebook.incident_of(one.decision.alarm_id)}
            for one in found
        ]
        return _json({"responses": told})

    return [
        Route("/admin/incidents", _told(incidents), methods=["GET"]),
        Route("/admin/incidents/{incident_id}", _told(incident), methods=["GET"]),
        Route("/admin/responses", _told(responses), methods=["GET"]),
        *_acting(store, desk, operator, strict),
    ]


def _acting(store: ResponseStore, desk: Desk, operator: str, strict: Strictness) -> list[Route]:
    async def act(request: Request) -> HttpResponse:
        asked = await _parsed(request, ActRequest)
        if asked.dry:
            return _json({"done": False, "preview": await desk.rehearse(asked.action, asked.subject)})
        preview = await desk.preview(asked.action, asked.subject)
        await desk.act_by_hand(operator, asked.action, asked.subject, asked.reason, preview)
        return _json({"done": True, "preview": preview})

    async def apply(request: Request) -> HttpResponse:
        asked = await _parsed(request, ApplyRequest)
        known = {one.id: one for one in await _all(store)}
        response = known.get(request.path_params["response_id"])
        if response is None:
            raise Refused("unknown_response", "There is no such response.")
        if asked.dry:
            preview = await desk.rehearse_response(response)
            return _json({"done": False, "preview": preview, "response": response})
        done = await desk.apply(operator, response)
        return _json({"done": True, "preview": done.preview, "response": done})

    async def lower(request: Request) -> HttpResponse:
        realm = request.path_params["realm"]
        asked = await _parsed(request, RelaxRequest)
        await strict.require_raised(realm)
        if asked.dry:
            return _json({"done": False, "realm": realm})
        await desk.audit(operator, "relax_realm", realm)
        await strict.lower_realm(realm)
        await desk.reversed(operator, Action.REQUIRE_STRICT, realm)
        return _json({"done": True, "realm": realm})

    return [
        Route("/admin/realms/{realm}/relax", _told(lower), methods=["POST"]),
        Route("/admin/responses/{response_id}/apply", _told(apply), methods=["POST"]),
        Route("/admin/act", _told(act), methods=["POST"]),
    ]


async def _all(store: ResponseStore) -> list[Response]:
    return await asyncio.to_thread(store.since, 0.0)


def _summary(incident: Incident) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(incident)
    del told["timeline"]
    return told


def _is_about(response: Response, incident: Incident, realm: str | None) -> bool:
    """Whether something that an operator did by hand is about what the incident is about: its key or client,
    or its key's realm.
    """
    decision = response.decision
    if decision.rule != BY_HAND or response.at < incident.first_at:
        return False
    if decision.action is Action.REQUIRE_STRICT:
        return decision.subject == realm
    return incident.about in {f"key {decision.subject}", f"client {decision.subject}"}


def _timeline(incident: Incident, responses: list[Response]) -> list[dict[str, Any]]:
    """Alarms, and what was done about them, in the order of time."""
    told: list[dict[str, Any]] = [
        {"at": moment.raised_at, "what": "alarm", **msgspec.to_builtins(moment)}
        for moment in incident.timeline
    ]
    told += [
        {
            "at": one.at,
            "what": "response",
            "id": one.id,
            "rule": one.decision.rule,
            "action": one.decision.action,
            "subject": one.decision.subject,
            "outcome": one.outcome,
            "preview": one.preview,
        }
        for one in responses
    ]
    return sorted(told, key=lambda entry: float(entry["at"]))


def _told(handler: Handler) -> Handler:
    async def handle(request: Request) -> HttpResponse:
        try:
            return await handler(request)
        except Refused as error:
            return _problem(error, _STATUS.get(error.code, 409))
        except Unavailable as error:
            return _problem(error, 503)

    return handle


async def _parsed(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode((await request.body())[:MAX_BODY], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("malformed_request", f"The request cannot be read: {error}") from error


def _problem(error: Refused | Unavailable, status: int) -> HttpResponse:
    return _json({"error": error.code, "message": error.public}, status)


def _json(content: Any, status: int = 200) -> HttpResponse:
    body = msgspec.json.encode(content)
    return HttpResponse(body, status, {"Cache-Control": "no-store"}, "application/json")
