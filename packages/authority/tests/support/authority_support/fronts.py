"""Token endpoints with a signer that only says who asked, and requests to them as they come over the wire."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from sealwright.clock import SystemClock
from sealwright.ids import secret_digest
from sealwright.issuer.http import Count, TokenEndpoint
from sealwright.issuer.model import Client, RealmPolicy
from sealwright.issuer.ports import ClientLookup
from sealwright.issuer.service import Issuer
from sealwright.wiring.direct import DirectHttp

DEADLINE = 60
SECRET = "s3cret"
BASIC = b"Basic " + base64.b64encode(f"app:{SECRET}".encode())
WRONG = b"Basic " + base64.b64encode(b"app:wrong")
FORM = b"grant_type=client_credentials"
PATH = b"/enterprise/oauth2/token"


class Signer:
    log_id = "aaaaaaaaaaaaaaaa"

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        assert len(requests) == len(records)
        await asyncio.sleep(0)
        answered()
        return [(f"token-for-{request[3]}", request[7]) for request in requests]


class Clients:
    def get(self, client_id: str) -> Client | None:
        app = Client("app", "enterprise", secret_digest(SECRET), ("https://api.example",), ("read",))
        return app if client_id == "app" else None


class NoReplay:
    def use_once(self, client_id: str, assertion_id: str, expires_at: int, now: int) -> bool:
        raise AssertionError("no client here has a key")


def endpoint(count: Count = lambda *_args: None, clients: ClientLookup | None = None) -> TokenEndpoint:
    realm = RealmPolicy("enterprise", "http://127.0.0.1/enterprise", 600, 3_600)
    issuer = Issuer(
        {"enterprise": realm},
        clients or Clients(),
        NoReplay(),
        lambda _realm: (Signer(), "kid"),
        lambda *_args: None,
        SystemClock(),
    )
    return TokenEndpoint(issuer, count)


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    """What uvicorn serves: the token endpoint, and one line for everything else."""
    if scope["path"].endswith("/oauth2/token"):
        await endpoint()(scope, receive, send)
        return
    body = f"{scope['method']} {scope['path']}".encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def request(
    body: bytes = FORM,
    *,
    method: bytes = b"POST",
    path: bytes = PATH,
    version: bytes = b"1.1",
    headers: Sequence[bytes] = (),
    authorization: bytes | None = BASIC,
    media: bytes | None = b"application/x-www-form-urlencoded",
    length: bool = True,
    hosts: Sequence[bytes] = (b"localhost",),
) -> bytes:
    lines = [b"%b %b HTTP/%b" % (method, path, version)]
    lines += [b"Host: " + host for host in hosts]
    lines += [b"Authorization: " + authorization] if authorization is not None else []
    lines += [b"Content-Type: " + media] if media is not None else []
    lines += [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n" + body


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written, self.closed, self.paused = b"", False, False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _name: str) -> None:
        return None


async def until(holds: Callable[[], object]) -> None:
    """Return when it holds."""
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def front(serves: TokenEndpoint | None = None) -> tuple[DirectHttp, Wire]:
    """A connection without a network, as uvicorn makes it."""
    config = uvicorn.Config(elsewhere, log_config=None, access_log=False, lifespan="off", limit_concurrency=8)
    config.load()
    connection, wire = DirectHttp(serves or endpoint(), config, ServerState(), {}), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]
    return connection, wire
