"""The direct front says nothing that uvicorn alone would not say: every request goes to both."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from authority_support.fronts import (
    BASIC,
    DEADLINE,
    FORM,
    PATH,
    SECRET,
    WRONG,
    Wire,
    elsewhere,
    endpoint,
    front,
    request,
    until,
)
from sealwright.bounded_http import MAX_HEAD, PIECE
from sealwright.issuer.http import TokenEndpoint
from sealwright.wiring.direct import MAX_WHOLE
from sealwright.wiring.servers import HttpServer, bind_tcp

pytestmark = [pytest.mark.enable_socket]

OVER = MAX_HEAD + PIECE

GET = request(b"", method=b"GET", path=b"/other", length=False)
CHUNKED = request(
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(FORM), FORM), headers=[b"Transfer-Encoding: chunked"], length=False
)
CASES = {  # what is sent, and how many answers come back; None: until the server closes
    "plain": (request(), 1),
    "scope": (request(FORM + b"&scope=read"), 1),
    "keep-alive said": (request(headers=[b"Connection: Keep-Alive"]), 1),
    "close asked": (request(headers=[b"Connection: close"]), None),
    "old version": (request(version=b"1.0"), None),
    "secret in the form": (
        request(FORM + b"&client_id=app&client_secret=" + SECRET.encode(), authorization=None),
        1,
    ),
    "wrong secret": (request(authorization=WRONG), 1),
    "no credentials": (request(authorization=None), 1),
    "two credentials": (request(headers=[b"Authorization: " + BASIC]), 1),
    "not ASCII": (request(authorization=b"Basic \xff"), 1),
    "no media type": (request(media=None), 1),
    "other media type": (request(media=b"application/json"), 1),
    "media type with a parameter": (request(media=b"Application/X-WWW-Form-URLencoded; charset=utf-8"), 1),
    "unknown realm": (request(path=b"/nobody/oauth2/token"), 1),
    "escaped path": (request(path=b"/enter%70rise/oauth2/token"), 1),
    "query": (request(path=PATH + b"?a=b"), 1),
    "escaped slash": (request(path=b"/enterprise%2foauth2/token"), 1),
    "escaped slash, last": (request(path=b"/enterprise/oauth2%2Ftoken"), 1),
    "no host": (request(hosts=()), None),
    "no host, old version": (request(hosts=(), version=b"1.0"), None),
    "two hosts": (request(hosts=(b"localhost", b"localhost")), None),
    "two hosts, old version": (request(hosts=(b"localhost", b"localhost"), version=b"1.0"), None),
    "host and port": (request(hosts=(b"localhost:8420",)), 1),
    "host in brackets": (request(hosts=(b"[::1]:8420",)), 1),
    "no host said": (request(hosts=(b"",)), 1),
    "host with a path": (request(hosts=(b"localhost/x",)), None),
    "host with a user": (request(hosts=(b"a@localhost",)), None),
    "long head": (request(headers=[b"X-A: " + b"a" * (MAX_HEAD - 4_096)]), 1),
    "head too long": (request(headers=[b"X-A: " + b"a" * OVER]), 1),
    "head too long with its body": (request(b"a" * 40_000, headers=[b"X-A: " + b"a" * 100_000]), 1),
    "head of many lines": (request(headers=[b"X-A: b"] * 10_000), 1),
    "head of spaces": (request(headers=[b"X-A: " + b" " * OVER + b"b"]), 1),
    "target too long": (request(path=PATH + b"?" + b"a" * OVER), 1),
    "absolute target": (request(path=b"http://localhost" + PATH), 1),
    "no body": (request(b""), 1),
    "repeated parameter": (request(FORM + b"&" + FORM), 1),
    "unknown grant": (request(b"grant_type=password"), 1),
    "token for a token": (request(b"grant_type=urn:ietf:params:oauth:grant-type:token-exchange"), 1),
    "other method": (request(b"", method=b"GET", length=False), 1),
    "put": (request(method=b"PUT"), 1),
    "other path": (GET, 1),
    "chunked": (CHUNKED, 1),
    "chunks with long extensions": (
        CHUNKED.replace(b"%x\r\n" % len(FORM), b"%x;%b\r\n" % (len(FORM), b"a" * OVER)),
        1,
    ),
    "large": (request(FORM + b"&x=" + b"a" * MAX_WHOLE), 1),
    "too large": (request(FORM + b"&x=" + b"a" * 40_000), 1),
    "upgrade": (request(headers=[b"Upgrade: websocket"]), 1),
    "upgrade to HTTP/2": (request(headers=[b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"]), 1),
    "two at once": (request() + request(authorization=WRONG), 2),
    "three at once, mixed": (request() + GET + request(), 3),
    "many at once": (request() * 40, 40),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None),
    "two lengths": (request(headers=[b"Content-Length: 3"]), None),
    "length and chunks": (request(headers=[b"Transfer-Encoding: chunked"]), None),
    "bare line feeds": (request().replace(b"\r\n", b"\n"), None),
    "space before the colon": (request(headers=[b"X-A : b"]), None),
    "rubbish behind": (request() + b"rubbish\r\n\r\n", None),
}
PARTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "in one piece": lambda sent: [sent],
    "head, then body": lambda sent: list(filter(None, _halves(sent, sent.find(b"\r\n\r\n") + 4))),
    "in halves": lambda sent: list(filter(None, _halves(sent, len(sent) // 2))),
    "in small pieces": lambda sent: [
        *(sent[i : i + 40] for i in range(0, min(len(sent), 4_000), 40)),
        *filter(None, [sent[4_000:]]),
    ],
}


def _halves(sent: bytes, at: int) -> tuple[bytes, bytes]:
    return sent[:at], sent[at:]


ANSWERED = {  # what both must say
    "plain": b"200 OK",
    "escaped slash": b"200 OK",  # of what is elsewhere: it is no token endpoint
    "escaped slash, last": b"200 OK",
    "no host": b"400 Bad Request",
    "no host, old version": b"200 OK",
    "two hosts": b"400 Bad Request",
    "two hosts, old version": b"400 Bad Request",
    "host and port": b"200 OK",
    "host in brackets": b"200 OK",
    "host with a path": b"400 Bad Request",
    "host with a user": b"400 Bad Request",
    "long head": b"200 OK",
    "head too long": b"431 Request Header Fields Too Large",
    "head too long with its body": b"431 Request Header Fields Too Large",
    "head of many lines": b"431 Request Header Fields Too Large",
    "head of spaces": b"431 Request Header Fields Too Large",
    "target too long": b"431 Request Header Fields Too Large",
    "chunks with long extensions": b"431 Request Header Fields Too Large",
}


async def answers(port: int, parts: Sequence[bytes], count: int | None) -> list[tuple[bytes, Any, bytes]]:
    """Status line, headers without the date, and body of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found: list[tuple[bytes, Any, bytes]] = []
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)  # so that the server reads it apart from the next
        while count is None or len(found) < count:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionResetError):
                break
            first, *lines = head[:-4].split(b"\r\n")
            headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
            headers.pop(b"date", None)
            found.append((first, headers, body))
    except ConnectionError:  # the server closed while we were still sending: the same for both
        pass
    finally:
        writer.close()
    return found


@contextlib.asynccontextmanager
async def serving(direct: TokenEndpoint | None) -> AsyncIterator[int]:
    """The port of a server."""
    listener = bind_tcp("127.0.0.1", 0)
    server = HttpServer(elsewhere, listener, direct)
    task = asyncio.create_task(server.run())
    try:
        yield listener.getsockname()[1]
    finally:
        server.stop()
        await task


@pytest.mark.parametrize("split", PARTS)
def test_the_direct_front_answers_as_uvicorn_does(split: str) -> None:
    async def go() -> dict[str, list[Any]]:
        told = {}
        async with serving(endpoint()) as front, serving(None) as alone:
            for case, (sent, count) in CASES.items():
                async with asyncio.timeout(DEADLINE):
                    told[case] = [await answers(port, PARTS[split](sent), count) for port in (front, alone)]
        return told

    for case, (by_front, by_uvicorn) in asyncio.run(go()).items():
        assert by_front == by_uvicorn, case
        assert CASES[case][1] in (None, len(by_front)), case
        if case in ANSWERED:
            assert by_front[0][0] == b"HTTP/1.1 " + ANSWERED[case], case
        if case.startswith("escaped slash"):
            assert b"%2" in by_front[0][2], case


def test_a_plain_request_never_leaves_the_direct_front() -> None:
    async def go() -> Wire:
        connection, wire = await front()
        connection.data_received(request())
        await until(lambda: wire.written)
        return wire

    wire = asyncio.run(go())
    assert wire.protocol is None
    assert b"token-for-app" in wire.written


def test_who_does_not_wait_for_an_answer_is_not_read_without_bound() -> None:
    async def go() -> tuple[bool, int]:
        connection, wire = await front()
        connection.data_received(request())
        early = request() * (2 * MAX_WHOLE // len(request()))
        connection.data_received(early)
        paused = wire.paused
        await until(lambda: wire.protocol)
        return paused, wire.written.count(b"token-for-app")

    assert asyncio.run(go()) == (True, 1)


def test_a_stop_lets_the_request_under_way_finish() -> None:
    async def go() -> Wire:
        connection, wire = await front()
        connection.data_received(request())
        connection.shutdown()
        before = wire.closed
        await until(lambda: wire.closed)
        assert not before
        return wire

    wire = asyncio.run(go())
    assert b"connection: close\r\n" in wire.written
    assert b"token-for-app" in wire.written


def test_too_many_connections_are_uvicorns_to_refuse() -> None:
    async def go() -> Wire:
        connection, wire = await front()
        connection._state.connections |= {object() for _ in range(8)}  # type: ignore[misc]
        connection.data_received(request())
        return wire

    assert asyncio.run(go()).protocol is not None


def test_the_body_of_a_request_with_an_upgrade_is_no_request() -> None:
    hidden = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"
    head, _, _ = request(b"a" * len(hidden), headers=[b"Connection: Upgrade", b"Upgrade: foo"]).partition(
        b"a" * 9
    )

    last = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    async def go(parts: Sequence[bytes]) -> list[Any]:
        told: list[Any] = []
        for direct in (endpoint(), None):
            async with serving(direct) as port, asyncio.timeout(DEADLINE):
                told.append(await answers(port, parts, 1))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for part in (*parts, last):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.05)  # apart from the next; what is asserted holds either way
                told.append(await reader.read())
                writer.close()
        return told

    for parts in ([head, hidden], [head + hidden], [head[:-30], head[-30:] + hidden]):
        assert all(b"GET /other" not in repr(told).encode() for told in asyncio.run(go(parts))), parts


def test_of_a_client_that_does_not_read_its_answers_nothing_more_is_read() -> None:
    async def go() -> list[bool]:
        connection, wire = await front()
        connection.pause_writing()  # as the transport says when it holds too much
        seen = [wire.paused]
        connection.data_received(request())
        await until(lambda: wire.written)
        seen.append(wire.paused)
        connection.resume_writing()
        return [*seen, wire.paused]

    assert asyncio.run(go()) == [True, True, False]


def test_who_ends_its_side_early_still_gets_its_answer() -> None:
    async def go() -> bytes:
        async with serving(endpoint()) as port, asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request())
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            return answer

    assert b"token-for-app" in asyncio.run(go())
