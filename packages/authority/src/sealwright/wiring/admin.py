"""The admin application: what `run/admin.sock` serves. Only the owner of the socket file can reach it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.admin import dumps_http
from sealwright.admin import http as admin_http
from sealwright.admin.requests import AuditedRequests
from sealwright.admission import policy_http, release_http
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection import http as detection_http
from sealwright.issuer import admin_http as clients_http
from sealwright.keys import http as keys_http
from sealwright.wiring.admission import policy_desk, release_desk
from sealwright.wiring.authority import App, Authority
from sealwright.wiring.keywatch import KeyUse


def admin_app(authority: Authority, config: Config, clock: Clock) -> App:
    """Status, audit trail, keys, clients, alarms, metrics."""
    # The socket is the owner's alone, so whoever asks acts as that user.
    operator = f"operator:uid-{os.getuid()}"

    async def audit(action: str, subject: str, details: dict[str, Any]) -> None:
        await authority.auditor.audit(operator, action, subject, details)

    async def adoption(_request: Request) -> Response:
        told = await asyncio.to_thread(authority.adoption, config, clock.now())
        return Response(msgspec.json.encode(told), media_type="application/json")

    async def witnesses(_request: Request) -> Response:
        return Response(msgspec.json.encode(authority.witnessing.status()), media_type="application/json")

    desk = release_desk(config, authority.stores, audit, clock)
    policies = policy_desk(config, authority.stores, authority.auditor, clock)
    every_key = authority.stores.keys.all
    routes = Starlette(
        routes=[
            *admin_http.routes({"keys": authority.keys}, authority.auditor, authority.registry),
            *keys_http.admin_routes(authority.keys, every_key, KeyUse(authority.stores).last, audit, clock),
            *dumps_http.routes(authority.auditor, f"gate:uid-{os.getuid()}"),
            *clients_http.admin_routes(
                authority.stores.clients, config.realms, audit, authority.clients.forget
            ),
            *detection_http.admin_routes(authority.alarms),
            *(release_http.routes(desk) if desk else []),
            *policy_http.routes(policies, operator),
            *authority.answers.admin_routes(operator),
            Route("/admin/adoption", adoption),
            Route("/admin/witnesses", witnesses),
        ]
    )

    async def read(action: str, subject: str) -> None:
        await authority.auditor.audit(operator, action, subject)

    return AuditedRequests(routes, read)
