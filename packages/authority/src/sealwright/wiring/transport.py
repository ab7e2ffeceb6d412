"""The transport of reports that the configuration names, if it names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealwright.config import Config
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.ports import Intake
from sealwright.errors import Misconfigured

if TYPE_CHECKING:
    from sealwright.detection.jetstream import JetStreamTransport


def transport(config: Config, intake: Intake, metrics: DetectionMetrics) -> JetStreamTransport | None:
    """NATS JetStream between this authority's report route and `intake`, or None.

    Raises:
        Misconfigured: `extra_absent`.
    """
    if not config.detection.nats:
        return None
    try:
        from sealwright.detection.jetstream import JetStreamTransport
    except ImportError as error:
        raise Misconfigured("extra_absent", "detection.nats needs sealwright[nats]") from error
    asked = config.detection
    return JetStreamTransport(asked.nats, intake, metrics, asked.nats_credentials)
