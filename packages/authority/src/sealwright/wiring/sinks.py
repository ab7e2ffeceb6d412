"""Where alarms go, as the configuration names it: one delivery for each sink, with its own cursor."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import httpx

from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection.delivery import Delivery
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.ports import AlarmSink, CursorStore
from sealwright.detection.sinks import OcsfFile, Syslog, Webhook
from sealwright.errors import Misconfigured

SECRET_BYTES = 24
"""The least that a webhook's secret may have."""


def sinks(config: Config, clock: Clock) -> dict[str, AlarmSink]:
    """The sinks that are named.

    Raises:
        Misconfigured: `webhook_secret`, where its file cannot be read or holds too little.
    """
    alarms, product = config.alarms, version("sealwright")
    found: dict[str, AlarmSink] = {}
    if alarms.file:
        found["file"] = OcsfFile(Path(alarms.file).expanduser().resolve(), product)
    if alarms.webhook:
        secret = _secret(Path(alarms.webhook_secret).expanduser().resolve())
        found["webhook"] = Webhook(alarms.webhook, secret, httpx.Client(), clock, product)
    if alarms.syslog:
        host, _, port = alarms.syslog.rpartition(":")
        address = alarms.syslog if alarms.syslog.startswith("/") else (host, int(port))
        found["syslog"] = Syslog(address, clock)
    return found


def deliveries(
    named: dict[str, AlarmSink], feed: AlarmFeed, cursors: CursorStore, metrics: DetectionMetrics
) -> dict[str, Delivery]:
    """One delivery for each sink."""
    return {name: Delivery(name, sink, feed, cursors, metrics) for name, sink in named.items()}


def _secret(file: Path) -> bytes:
    try:
        secret = file.read_bytes().strip()
    except OSError as error:
        raise Misconfigured("webhook_secret", f"cannot read {file}: {error.strerror}") from error
    if len(secret) < SECRET_BYTES:
        raise Misconfigured("webhook_secret", f"{file} holds less than {SECRET_BYTES} bytes")
    return secret
