"""Carries reports over NATS JetStream, for many authorities: at least once, durable on the way.

An authority that takes a report in answers when the stream has it; whichever authority takes it out keeps it,
and only then acknowledges. Needs the extra `nats`. Nothing here judges a report, and nothing may be lost
between the two: what cannot be kept now is delivered again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Receipt, Report
from sealwright.detection.ports import Intake
from sealwright.errors import Unavailable

log = logging.getLogger(__name__)
STREAM, SUBJECT, DURABLE = "SEALWRIGHT_OBSERVATIONS", "sealwright.observations", "detector"
KEPT_SECONDS = 7 * 86_400.0
"""How long the stream keeps what nobody takes out."""
REPEAT_SECONDS = 120.0
"""How long the stream itself drops repeats; the store does so for ever."""
AT_ONCE = 64
WAIT_SECONDS = 1.0
RETRY_SECONDS = 1.0
ANSWER_SECONDS = 5.0


class Carried(msgspec.Struct, frozen=True):
    """One message: who reported, and what."""

    reporter: str
    report: Report


class JetStreamTransport:
    """Both ends, on one connection. `run` must be running; for one event loop.

    Args:
        url: of the server.
        intake: keeps what is taken out.
        metrics: counts failures.
        credentials: file with our credentials; empty for none.
    """

    def __init__(self, url: str, intake: Intake, metrics: DetectionMetrics, credentials: str = "") -> None:
        self._url = url
        self._intake = intake
        self._metrics = metrics
        self._credentials = credentials
        self._client: Client | None = None

    async def observe(self, reporter: str, report: Report) -> Receipt:
        """Put a report into the stream. Returns once it is durable there.

        Raises:
            Unavailable: `transport_unavailable`.
        """
        body = msgspec.json.encode(Carried(reporter, report))
        name = hashlib.sha256(body).hexdigest()
        count = len(report.observations)
        if self._client is None:
            raise Unavailable("transport_unavailable", "Reports are not taken now. Send it again later.")
        try:
            stream = self._client.jetstream()
            answer = await stream.publish(
                SUBJECT, body, timeout=ANSWER_SECONDS, headers={"Nats-Msg-Id": name}
            )
        except (NatsError, OSError, TimeoutError) as error:
            self._metrics.failed("transport")
            text = "The report may not be kept. Send the same report again later."
            raise Unavailable("transport_unavailable", text, str(error)) from error
        return Receipt(0, count) if answer.duplicate else Receipt(count, 0)

    async def run(self) -> None:
        """Take reports out until cancelled; an outage of the server is waited for."""
        while True:
            try:
                async with self._connected() as client:
                    await self._take(client)
            except (NatsError, OSError, TimeoutError) as error:
                self._metrics.failed("transport")
                log.warning("transport not usable now", extra={"facts": {"error": str(error)}})
            await asyncio.sleep(RETRY_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        options = {"user_credentials": self._credentials} if self._credentials else {}
        client = await nats.connect(
            self._url, allow_reconnect=False, connect_timeout=int(ANSWER_SECONDS), **options
        )
        try:
            await client.jetstream().add_stream(
                StreamConfig(
                    name=STREAM,
                    subjects=[SUBJECT],
                    storage=StorageType.FILE,
                    retention=RetentionPolicy.WORK_QUEUE,
                    max_age=KEPT_SECONDS,
                    duplicate_window=REPEAT_SECONDS,
                )
            )
            self._client = client
            yield client
        finally:
            self._client = None
            await client.close()

    async def _take(self, client: Client) -> None:
        waiting = await client.jetstream().pull_subscribe(SUBJECT, durable=DURABLE, stream=STREAM)
        while client.is_connected:
            try:
                messages = await waiting.fetch(AT_ONCE, timeout=WAIT_SECONDS)
            except TimeoutError:
                continue
            await asyncio.gather(*map(self._keep, messages))

    async def _keep(self, message: Msg) -> None:
        try:
            carried = msgspec.json.decode(message.data, type=Carried)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._metrics.failed("transport")
            await message.term()  # nobody will ever be able to read it
            return
        try:
            await self._intake.observe(carried.reporter, carried.report)
        except Unavailable:
            await message.nak(delay=RETRY_SECONDS)
            return
        await message.ack()
