"""Runs one of the two demo mail APIs as a process of its own, until SIGTERM."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import uvicorn

from sealwright.bounded_http import BoundedHttp
from sealwright.config import Config
from sealwright.demo.guarded import guarded_app
from sealwright.demo.ordinary import ordinary_app


class Guard(StrEnum):
    """Who guards the mail API."""

    GUARDED = "guarded"
    ORDINARY = "ordinary"


def serve_mail(config: Config, guard: Guard) -> None:
    """Serve on 127.0.0.1 until SIGTERM.

    Raises:
        Misconfigured: what `sealwright up` prepares is missing.
    """
    guarded = guard is Guard.GUARDED
    port = config.demo.guarded_port if guarded else config.demo.ordinary_port
    app = guarded_app(config) if guarded else ordinary_app(config)
    uvicorn.Server(mail_settings(app, port)).run()


def mail_settings(app: Any, port: int) -> uvicorn.Config:
    """How a mail API is served on this port: with the bounds of the authority's own servers."""
    return uvicorn.Config(
        app,
        host=DEMO_HOST,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        http=BoundedHttp,
    )


DEMO_HOST = "127.0.0.1"
"""The demo is for this machine, wherever the authority listens."""
GRACE = 2
"""Seconds that requests under way may take after a stop was asked for."""
