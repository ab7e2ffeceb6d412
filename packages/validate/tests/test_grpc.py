"""The gRPC interceptor: a call reaches its method with a verified token, or ends with a status."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sealwright_validate import Expect
from sealwright_validate.middleware.grpc import current_token, token_interceptor

grpc = pytest.importorskip("grpc", reason="GRPC ABSENT: its interceptor is not tested here")

pytestmark = pytest.mark.enable_socket
MAIL = "https://mail.example"
World = Any


def one(message: bytes, context: Any) -> bytes:
    return message + current_token().subject.encode()


def many(message: bytes, context: Any) -> Iterator[bytes]:
    for number in range(3):
        yield message + str(number).encode() + current_token().subject.encode()


def join(messages: Iterator[bytes], context: Any) -> bytes:
    return b"".join(messages) + current_token().subject.encode()


def echo(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for message in messages:
        yield message + current_token().subject.encode()


@pytest.fixture
def channel(world: World) -> Iterator[Any]:
    expect = Expect(audience=MAIL, realm="enterprise", scopes="mail.read")
    guard = token_interceptor(world.validator, expect, public_methods=["/mail/Health"])
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[guard])
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Join": grpc.stream_unary_rpc_method_handler(join),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Health": grpc.unary_unary_rpc_method_handler(lambda message, _: b"well"),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("mail", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    server.stop(None).wait()


def with_token(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def status_of(call: Any, *sent: Any, **how: Any) -> Any:
    try:
        list(call(*sent, timeout=10, **how))
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call was answered")


def test_a_verified_token_reaches_every_kind_of_method(world: World, channel: Any) -> None:
    token = with_token(world.authority.token(world.key, sub="-alice"))
    assert channel.unary_unary("/mail/One")(b"hi", metadata=token, timeout=10) == b"hi-alice"
    streamed = channel.unary_stream("/mail/Many")(b"n", metadata=token, timeout=10)
    assert list(streamed) == [b"n0-alice", b"n1-alice", b"n2-alice"]
    assert channel.stream_unary("/mail/Join")(iter([b"a", b"b"]), metadata=token, timeout=10) == b"ab-alice"
    echoed = channel.stream_stream("/mail/Echo")(iter([b"a", b"b"]), metadata=token, timeout=10)
    assert list(echoed) == [b"a-alice", b"b-alice"]


def test_a_refused_call_ends_with_a_status_and_a_safe_sentence(world: World, channel: Any) -> None:
    elsewhere = world.authority.token(world.key, aud="https://files.example")
    for call, sent in (
        (channel.unary_unary("/mail/One"), b"hi"),
        (channel.unary_stream("/mail/Many"), b"hi"),
        (channel.stream_unary("/mail/Join"), iter([b"a"])),
        (channel.stream_stream("/mail/Echo"), iter([b"a"])),
    ):
        error = status_of(call, sent, metadata=with_token(elsewhere))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error.details() == "audience_not_allowed: The token is not meant for this service."


def test_statuses_tell_refused_from_forbidden_from_unavailable(world: World, channel: Any) -> None:
    call = channel.unary_unary("/mail/One")
    assert status_of(call, b"").code() is grpc.StatusCode.UNAUTHENTICATED
    unscoped = with_token(world.authority.token(world.key, scope=None))
    assert status_of(call, b"", metadata=unscoped).code() is grpc.StatusCode.PERMISSION_DENIED
    good = with_token(world.authority.token(world.key))
    assert status_of(call, b"", metadata=good * 2).code() is grpc.StatusCode.UNAUTHENTICATED
    world.clock.advance(61)
    assert status_of(call, b"", metadata=good).code() is grpc.StatusCode.UNAVAILABLE


def test_public_methods_need_no_token_and_unknown_ones_stay_unknown(channel: Any) -> None:
    assert channel.unary_unary("/mail/Health")(b"", timeout=10) == b"well"
    assert status_of(channel.unary_unary("/mail/Nothing"), b"").code() is grpc.StatusCode.UNIMPLEMENTED


def test_outside_of_a_call_there_is_no_token() -> None:
    with pytest.raises(LookupError):
        current_token()
