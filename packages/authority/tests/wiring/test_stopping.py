"""A stop ends what would wait for ever, completely and without an error in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette

from sealwright.discovery.feed import ManifestFeed
from sealwright.discovery.http import manifest_routes
from sealwright.wiring.servers import HttpServer, bind_tcp

pytestmark = pytest.mark.enable_socket
DEADLINE = 60
REQUEST = "GET {} HTTP/1.1\r\nhost: authority\r\n{}\r\n"
Ask = Callable[[str, str], Awaitable[asyncio.StreamReader]]


def stopping(
    folder: Path, act: Callable[[Ask, ManifestFeed], Awaitable[list[asyncio.StreamReader]]]
) -> list[bytes]:
    """What the readers that `act` leaves waiting are still told when the feed and its server are stopped."""

    async def main() -> list[bytes]:
        feed = ManifestFeed()
        feed.publish(7, b"{}")
        listener = bind_tcp("127.0.0.1", 0)
        port = listener.getsockname()[1]
        server = HttpServer(Starlette(routes=manifest_routes(feed, folder)), listener)
        running = asyncio.create_task(server.run())
        writers = []

        async def ask(path: str, headers: str) -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            writer.write(REQUEST.format(path, headers).encode())
            return reader

        async with asyncio.timeout(DEADLINE):
            waiting = await act(ask, feed)
            feed.close()
            server.stop()
            told = [await reader.read() for reader in waiting]
            await running
        for writer in writers:
            writer.close()
        return told

    return asyncio.run(main())


def test_an_open_manifest_stream_ends_complete(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(ask: Ask, _feed: ManifestFeed) -> list[asyncio.StreamReader]:
        reader = await ask("/manifest/events", "")
        await reader.readuntil(b"data: {}\n\n")
        return [reader]

    (told,) = stopping(tmp_path, act)
    assert told.endswith(b"0\r\n\r\n")  # the last chunk: a stream that is cut off has none
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_closed_feed_keeps_nobody_waiting_and_still_tells_what_is_new() -> None:
    async def main() -> None:
        feed = ManifestFeed()
        feed.publish(7, b"{}")
        async with asyncio.timeout(DEADLINE):
            waiting = asyncio.create_task(feed.newer(7, 10 * DEADLINE))
            await asyncio.sleep(0)
            feed.close()
            assert await waiting is None
            assert await feed.newer(7, 10 * DEADLINE) is None
            assert await feed.newer(6, 10 * DEADLINE) == b"{}"

    asyncio.run(main())
