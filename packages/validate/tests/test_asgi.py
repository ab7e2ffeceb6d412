"""The ASGI middleware: a verified token in the scope, or an answer by RFC 6750."""

import asyncio
import json
from typing import Any

import pytest

from sealwright_validate import Expect
from sealwright_validate.middleware.asgi import SealwrightMiddleware

MAIL = "https://mail.example"
World = Any
Headers = list[tuple[bytes, bytes]]


def call(
    world: World, headers: Headers, *, path: str = "/mail", kind: str = "http", **options: Any
) -> list[Any]:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope.get("sealwright"))

    async def send(message: Any) -> None:
        seen.append(message)

    async def receive() -> Any:
        return {}

    expect = options.pop("expect", Expect(audience=MAIL, realm="enterprise"))
    guard = SealwrightMiddleware(app, validator=world.validator, expect=expect, **options)
    scope = {"type": kind, "path": path, "headers": headers, "sealwright": "forged by the server"}
    asyncio.run(guard(scope, receive, send))
    return seen


def bearer(token: str) -> Headers:
    return [(b"authorization", b"Bearer " + token.encode())]


def answer(seen: list[Any]) -> tuple[int, dict[str, str], Any]:
    start, body = seen
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, json.loads(body["body"])


def test_a_good_token_reaches_the_application(world: World) -> None:
    (token,) = call(world, bearer(world.authority.token(world.key)))
    assert token.subject == "mail-client"


def test_no_token_is_a_challenge_without_an_error(world: World) -> None:
    for headers in ([], [(b"authorization", b"Basic YTpi")], [(b"authorization", b"Bearer")]):
        status, sent, _ = answer(call(world, headers))
        assert (status, sent["www-authenticate"]) == (401, "Bearer")


def test_a_refused_token_is_a_401_with_the_reason_and_no_detail(world: World) -> None:
    token = world.authority.token(world.key, aud="https://files.example")
    status, headers, body = answer(call(world, bearer(token)))
    assert status == 401
    assert headers["www-authenticate"] == (
        'Bearer error="invalid_token", error_description="The token is not meant for this service."'
    )
    assert headers["cache-control"] == "no-store"
    assert body["reason"] == "audience_not_allowed"
    assert "files.example" not in json.dumps([headers, body])


def test_a_missing_scope_is_a_403_that_says_which(world: World) -> None:
    expect = Expect(audience=MAIL, realm="enterprise", scopes=("mail.read", "mail.delete"))
    status, headers, _ = answer(call(world, bearer(world.authority.token(world.key)), expect=expect))
    assert status == 403
    assert 'error="insufficient_scope"' in headers["www-authenticate"]
    assert 'scope="mail.delete mail.read"' in headers["www-authenticate"]


def test_two_tokens_are_a_400(world: World) -> None:
    token = world.authority.token(world.key)
    status, headers, _ = answer(call(world, bearer(token) + bearer(token)))
    assert status == 400
    assert 'error="invalid_request"' in headers["www-authenticate"]


def test_stale_keys_are_a_503_that_blames_no_token(world: World) -> None:
    world.clock.advance(61)
    status, headers, _ = answer(call(world, bearer(world.authority.token(world.key))))
    assert status == 503
    assert headers["retry-after"]
    assert "www-authenticate" not in headers


def test_a_websocket_without_a_good_token_is_closed(world: World) -> None:
    (message,) = call(world, [], kind="websocket")
    assert (message["type"], message["code"]) == ("websocket.close", 1008)


def test_only_exact_paths_are_public_and_they_carry_no_token(world: World) -> None:
    assert call(world, [], path="/health", public_paths=["/health"]) == [None]
    for path in ("/health/", "/healthy", "/HEALTH", "/mail"):
        assert answer(call(world, [], path=path, public_paths=["/health"]))[0] == 401


@pytest.mark.parametrize("value", [b"Bearer a b", b"Bearer \xff", b"Bearer " + b"a" * 20_000])
def test_an_odd_header_is_refused(world: World, value: bytes) -> None:
    assert answer(call(world, [(b"authorization", value)]))[0] == 401
