"""A request that comes again, byte for byte, is decided anew in all that may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from authority_support.fronts import FORM, SECRET, WRONG, endpoint, front, request, until
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client

APP = Client("app", "enterprise", secret_digest(SECRET), ("https://api.example",), ("read",))


class Registry:
    """Clients that change, and how often one was looked up."""

    def __init__(self) -> None:
        self.app: Client | None = APP
        self.asked = 0

    def get(self, client_id: str) -> Client | None:
        self.asked += 1
        return self.app if client_id == "app" else None


async def told(registry: Registry, steps: Sequence[bytes | Callable[[], None]]) -> list[bytes]:
    """The status and body of each answer on one connection; steps between them change the registration."""
    connection, wire = await front(endpoint(clients=registry))
    found = []
    for step in steps:
        if isinstance(step, bytes):
            connection.data_received(step)
            await until(lambda: wire.written)
            head, _, body = wire.written.partition(b"\r\n\r\n")
            found.append(head.split(b" ")[1] + b" " + body)
            wire.written = b""
        else:
            step()
    assert wire.protocol is None
    return found


def test_the_same_request_again_gets_what_it_got() -> None:
    scoped = request(FORM + b"&scope=read")
    one, two, three, other, four = asyncio.run(
        told(Registry(), [request(), request(), request(), scoped, request()])
    )
    assert one == two == three == four
    assert one.startswith(b"200 ")
    assert b'"scope":"read"' in other


CHANGES: dict[str, Client | None] = {
    "disabled": replace(APP, enabled=False),
    "another secret": replace(APP, secret_digest=secret_digest("another")),
    "removed": None,
    "of another realm": replace(APP, realm="consumer"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_client_that_may_no_longer_is_refused_at_once(change: str) -> None:
    registry = Registry()

    def turn() -> None:
        registry.app = CHANGES[change]

    def back() -> None:
        registry.app = APP

    before, again, refused, still, after = asyncio.run(
        told(registry, [request(), request(), turn, request(), request(), back, request()])
    )
    assert before == again == after
    assert before.startswith(b"200 ")
    assert refused == still
    assert refused.startswith(b"401 ")


def test_a_client_that_may_less_gets_less() -> None:
    registry = Registry()

    def turn() -> None:
        registry.app = replace(APP, scopes=("list",))

    before, after = asyncio.run(told(registry, [request(), turn, request()]))
    assert b'"scope":"read"' in before
    assert b'"scope":"list"' in after


def test_a_refusal_is_not_kept() -> None:
    registry = Registry()
    wrong = request(authorization=WRONG)
    assert [
        answer[:3] for answer in asyncio.run(told(registry, [wrong, wrong, request(), wrong, request()]))
    ] == [
        b"401",
        b"401",
        b"200",
        b"401",
        b"200",
    ]


def test_the_client_is_looked_up_every_time() -> None:
    registry = Registry()
    asyncio.run(told(registry, [request()] * 5))
    assert registry.asked == 5


def test_the_same_request_in_pieces_is_the_same_request() -> None:
    async def go() -> list[bytes]:
        connection, wire = await front()
        found = []
        for cut in (0, 20, len(request()) - 3, 0):
            for piece in (request()[:cut], request()[cut:]):
                if piece:
                    connection.data_received(piece)
            await until(lambda: wire.written)
            found.append(wire.written.partition(b"\r\n\r\n")[2])
            wire.written = b""
        return found

    assert len(set(asyncio.run(go()))) == 1


class Faulty(Registry):
    """Breaks when it is asked for the second time."""

    def get(self, client_id: str) -> Client | None:
        found = super().get(client_id)
        if self.asked > 1:
            raise RuntimeError("a fault of our own")
        return found


@pytest.mark.parametrize("second", [request(), request(FORM + b"&scope=read")])
def test_a_fault_of_our_own_closes_the_connection(second: bytes) -> None:
    async def go() -> bool:
        connection, wire = await front(endpoint(clients=Faulty()))
        connection.data_received(request())
        await until(lambda: wire.written)
        with pytest.raises(RuntimeError, match="our own"):
            connection.data_received(second)
        return wire.closed

    assert asyncio.run(go())
