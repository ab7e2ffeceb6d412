"""The admin application: what `run/admin.sock` serves. Only the owner of the socket file can reach it."""

from __future__ import annotations

import logging
from typing import Any

from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection import http as detection_http
from sealwright.issuer import admin_http as clients_http
from sealwright.keys import http as keys_http
from sealwright.wiring.authority import App, Authority

log = logging.getLogger(__name__)


def admin_app(authority: Authority, config: Config, clock: Clock) -> App:
    """Keys, clients, alarms, metrics."""

    async def audit(action: str, subject: str, details: dict[str, Any]) -> None:
        log.info("admin", extra={"facts": {"action": action, "subject": subject, "details": details}})

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(authority.registry), media_type="text/plain; version=0.0.4")

    realms = {name: realm.audiences for name, realm in config.realms.items()}
    return Starlette(
        routes=[
            *keys_http.admin_routes(authority.keys, authority.stores.keys.all, audit, clock),
            *clients_http.admin_routes(authority.stores.clients, realms, audit, authority.clients.forget),
            *detection_http.admin_routes(authority.alarms),
            Route("/metrics", metrics),
        ]
    )
