"""The interceptor for grpc.aio, by the same contract as the threaded one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from sealwright_validate import Expect
from sealwright_validate.middleware.grpc_aio import current_token, token_interceptor

grpc = pytest.importorskip("grpc", reason="GRPC ABSENT: its interceptor is not tested here")

pytestmark = pytest.mark.enable_socket
MAIL = "https://mail.example"
World = Any


async def one(message: bytes, context: Any) -> bytes:
    return message + current_token().subject.encode()


async def many(message: bytes, context: Any) -> AsyncIterator[bytes]:
    for number in range(3):
        await asyncio.sleep(0)
        yield message + str(number).encode() + current_token().subject.encode()


def served(world: World, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run one conversation with a server that is guarded."""

    async def run() -> Any:
        from grpc import aio

        expect = Expect(audience=MAIL, realm="enterprise", scopes="mail.read")
        guard = token_interceptor(world.validator, expect, public_methods=["/mail/Health"])
        server = aio.server(interceptors=[guard])
        handlers = {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Many": grpc.unary_stream_rpc_method_handler(many),
            "Health": grpc.unary_unary_rpc_method_handler(healthy),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("mail", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = await ask(channel)
        await server.stop(None)
        return answer

    return asyncio.run(run())


async def healthy(message: bytes, context: Any) -> bytes:
    return b"well"


def with_token(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def error_of(call: Any) -> Any:
    try:
        await call
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("the call was answered")


def test_verified_tokens_reach_their_own_calls(world: World) -> None:
    tokens = [with_token(world.authority.token(world.key, sub=f"-user{number}")) for number in range(8)]

    async def ask(channel: Any) -> Any:
        calls = [channel.unary_unary("/mail/One")(b"hi", metadata=token, timeout=10) for token in tokens]
        streamed = channel.unary_stream("/mail/Many")(b"n", metadata=tokens[1], timeout=10)
        return await asyncio.gather(*calls), [answer async for answer in streamed]

    answers, streamed = served(world, ask)
    assert answers == [f"hi-user{number}".encode() for number in range(8)]
    assert streamed == [b"n0-user1", b"n1-user1", b"n2-user1"]


def test_refused_calls_end_with_a_status(world: World) -> None:
    elsewhere = with_token(world.authority.token(world.key, aud="https://files.example"))
    unscoped = with_token(world.authority.token(world.key, scope=None))

    async def ask(channel: Any) -> Any:
        call = channel.unary_unary("/mail/One")
        stream = channel.unary_stream("/mail/Many")(b"", metadata=elsewhere, timeout=10)
        return [
            await error_of(call(b"", timeout=10)),
            await error_of(call(b"", metadata=elsewhere, timeout=10)),
            await error_of(call(b"", metadata=unscoped, timeout=10)),
            await error_of(stream.read()),
            await channel.unary_unary("/mail/Health")(b"", timeout=10),
        ]

    missing, refused, forbidden, streamed, health = served(world, ask)
    sentence = "audience_not_allowed: The token is not meant for this service."
    assert missing[0] is grpc.StatusCode.UNAUTHENTICATED
    assert refused == streamed == (grpc.StatusCode.UNAUTHENTICATED, sentence)
    assert forbidden[0] is grpc.StatusCode.PERMISSION_DENIED
    assert health == b"well"
