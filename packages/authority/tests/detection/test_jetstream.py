"""Reports over a real NATS server: each arrives, whoever is away in between, and a repeat changes nothing."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Observation, Receipt, Report, ValidatorFacts
from sealwright.errors import Unavailable

pytest.importorskip("nats", reason="EXTRA ABSENT: sealwright[nats]")

from sealwright.detection.jetstream import JetStreamTransport

SERVER = shutil.which("nats-server")
pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(SERVER is None, reason="NATS-SERVER ABSENT: install the Debian package nats-server"),
]
PATIENCE = 60.0


class Server:
    """A NATS server with JetStream on a free loopback port; what it stores survives a restart."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        place = ["-a", "127.0.0.1", "-p", str(self.port), "-sd", str(self._folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([str(SERVER), "-js", *place], **quiet)  # type: ignore[call-overload] # two plain streams

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=PATIENCE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


class Kept:
    """An intake that remembers, and is away when told to be."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0
        self.reports: list[tuple[str, Report]] = []

    async def observe(self, reporter: str, report: Report) -> Receipt:
        if self.down:
            self.refused += 1
            raise Unavailable("detection_busy", "Later.")
        self.reports.append((reporter, report))
        return Receipt(len(report.observations), 0)


def report(number: int) -> Report:
    one = Observation(
        id=f"{number:032x}", at=1.0, verdict="accepted", signature="valid", digest=f"{number:064x}"
    )
    return Report(validator=ValidatorFacts(name="mail", instance="i-1"), observations=(one,))


async def until(held: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not held():  # noqa: ASYNC110 - what is looked at is a list of the test's
            await asyncio.sleep(0.02)


async def sent(transport: JetStreamTransport, number: int) -> Receipt:
    """Send as a reporter does: again and again until it is taken."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await transport.observe("mail", report(number))
            except Unavailable:
                await asyncio.sleep(0.05)


def carried(server: Server, intake: Kept, act: Callable[[JetStreamTransport], Awaitable[None]]) -> None:
    async def go() -> None:
        metrics = DetectionMetrics(CollectorRegistry())
        transport = JetStreamTransport(server.url, intake, metrics)
        running = asyncio.create_task(transport.run())
        try:
            await act(transport)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(go())


def numbers(intake: Kept) -> set[int]:
    return {int(kept.observations[0].id, 16) for _, kept in intake.reports}


def test_what_is_put_in_is_taken_out_with_its_reporter_and_a_repeat_is_dropped(server: Server) -> None:
    intake = Kept()

    async def act(transport: JetStreamTransport) -> None:
        assert await sent(transport, 1) == Receipt(1, 0)
        assert await sent(transport, 1) == Receipt(0, 1)
        for number in range(2, 20):
            await sent(transport, number)
        await until(lambda: len(intake.reports) == 19)

    carried(server, intake, act)
    assert numbers(intake) == set(range(1, 20))
    assert {reporter for reporter, _ in intake.reports} == {"mail"}


def test_what_the_detector_cannot_keep_now_is_delivered_again(server: Server) -> None:
    intake = Kept()
    intake.down = True

    async def act(transport: JetStreamTransport) -> None:
        await sent(transport, 1)
        await until(lambda: intake.refused > 0)
        intake.down = False
        await until(lambda: numbers(intake) == {1})

    carried(server, intake, act)


def test_an_outage_of_the_server_loses_nothing_that_was_answered(server: Server) -> None:
    intake = Kept()
    intake.down = True

    async def act(transport: JetStreamTransport) -> None:
        await sent(transport, 1)
        await asyncio.to_thread(server.stop)
        with pytest.raises(Unavailable):
            await transport.observe("mail", report(2))
        await asyncio.to_thread(server.start)
        await sent(transport, 3)
        intake.down = False
        await until(lambda: numbers(intake) >= {1, 3})

    carried(server, intake, act)
