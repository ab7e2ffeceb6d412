"""One contract for every guard: a verified token reaches the application, or the request gets the answer of
RFC 6750.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Annotated, Any

import pytest

from sealwright_validate import Expect, VerifiedToken
from sealwright_validate.conformance.keys import jws, make_key
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.middleware.asgi import SealwrightMiddleware
from sealwright_validate.middleware.wsgi import SealwrightWsgiMiddleware

MAIL = "https://mail.example"
World = Any
Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """What came back: the subject that the application saw is the body of a 200."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def said(self) -> Any:
        found = json.loads(self.body)
        return found.get("detail", found)


Call = Callable[..., Answer]


def asgi_call(app: Any) -> Call:
    def call(headers: Headers, path: str = "/inbox") -> Answer:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "server": ("mail.example", 443),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        }
        asyncio.run(app(scope, receive, send))
        start = next(message for message in sent if message["type"] == "http.response.start")
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], found, b"".join(message.get("body", b"") for message in sent))

    return call


def wsgi_call(app: Any) -> Call:
    def call(headers: Headers, path: str = "/inbox") -> Answer:
        joined: dict[str, list[str]] = {}
        for name, value in headers:
            joined.setdefault("HTTP_" + name.upper().replace("-", "_"), []).append(value)
        started: list[Any] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "mail.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "https",
            "wsgi.input": BytesIO(),
            "wsgi.errors": BytesIO(),
            **{name: ",".join(values) for name, values in joined.items()},
        }
        body = b"".join(app(environ, lambda status, found, _=None: started.append((status, found))))
        status, found = started[0]
        return Answer(int(status[:3]), {name.lower(): value for name, value in found}, body)

    return call


def plain_asgi(world: World, expect: Expect, **options: Any) -> Call:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["sealwright"].subject.encode()})

    return asgi_call(SealwrightMiddleware(app, validator=world.validator, expect=expect, **options))


def plain_wsgi(world: World, expect: Expect, **options: Any) -> Call:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["sealwright"].subject.encode()]

    return wsgi_call(SealwrightWsgiMiddleware(app, validator=world.validator, expect=expect, **options))


def fastapi_app(world: World, expect: Expect, **options: Any) -> Call:
    fastapi = pytest.importorskip("fastapi", reason="FASTAPI ABSENT: its guard is not tested here")
    from fastapi.responses import PlainTextResponse

    from sealwright_validate.middleware.fastapi import token_dependency

    app = fastapi.FastAPI()
    require_token = token_dependency(world.validator, expect, **options)

    @app.get("/inbox")  # type: ignore[untyped-decorator] # importorskip hides the types
    async def inbox(token: Annotated[VerifiedToken, fastapi.Depends(require_token)]) -> PlainTextResponse:
        return PlainTextResponse(token.subject)

    assert "bearer" in json.dumps(app.openapi()["components"]["securitySchemes"]).lower()
    return asgi_call(app)


def flask_app(world: World, expect: Expect, **options: Any) -> Call:
    flask = pytest.importorskip("flask", reason="FLASK ABSENT: its guard is not tested here")
    from sealwright_validate.middleware.flask import token_required

    app = flask.Flask("mail")

    @app.get("/inbox")  # type: ignore[untyped-decorator] # importorskip hides the types
    @token_required(world.validator, expect, **options)
    def inbox() -> str:
        return str(flask.g.sealwright.subject)

    return wsgi_call(app)


def django_app(world: World, expect: Expect, **options: Any) -> Call:
    return wsgi_call(_django(world, expect, options, asynchronous=False))


def django_async_app(world: World, expect: Expect, **options: Any) -> Call:
    return wsgi_call(_django(world, expect, options, asynchronous=True))


def _django(world: World, expect: Expect, options: dict[str, Any], *, asynchronous: bool) -> Any:
    pytest.importorskip("django", reason="DJANGO ABSENT: its guard is not tested here")
    from django.conf import settings  # type: ignore[import-untyped]
    from django.core.handlers.wsgi import WSGIRequest  # type: ignore[import-untyped]
    from django.http import HttpResponse  # type: ignore[import-untyped]

    from sealwright_validate.middleware.django import token_required

    if not settings.configured:
        settings.configure()
    require_token = token_required(world.validator, expect, **options)

    @require_token
    def inbox(request: Any) -> Any:
        return HttpResponse(request.sealwright.subject)

    @require_token
    async def inbox_async(request: Any) -> Any:
        return HttpResponse(request.sealwright.subject)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        request = WSGIRequest(environ)
        response = asyncio.run(inbox_async(request)) if asynchronous else inbox(request)
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return [response.content]

    return app


@pytest.fixture(params=[plain_asgi, plain_wsgi, fastapi_app, flask_app, django_app, django_async_app])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


EXPECT = Expect(audience=MAIL, realm="enterprise")


def bearer(token: str) -> Headers:
    return [("Authorization", f"Bearer {token}")]


def test_a_good_token_reaches_the_application(world: World, make: Any) -> None:
    answer = make(world, EXPECT)(bearer(world.authority.token(world.key, sub="alice")))
    assert (answer.status, answer.body) == (200, b"alice")


def test_no_token_is_a_challenge_without_an_error(world: World, make: Any) -> None:
    for headers in ([], [("Authorization", "Basic YTpi")]):
        answer = make(world, EXPECT)(headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_refused_token_is_a_401_with_reason_and_sentence_and_no_detail(world: World, make: Any) -> None:
    answer = make(world, EXPECT)(bearer(world.authority.token(world.key, aud="https://files.example")))
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.said["reason"] == "audience_not_allowed"
    assert b"files.example" not in answer.body


def test_a_missing_scope_is_a_403(world: World, make: Any) -> None:
    expect = Expect(audience=MAIL, realm="enterprise", scopes="mail.delete")
    answer = make(world, expect)(bearer(world.authority.token(world.key)))
    assert answer.status == 403
    assert 'scope="mail.delete"' in answer.headers["www-authenticate"]


def test_stale_keys_are_a_503(world: World, make: Any) -> None:
    world.clock.advance(61)
    answer = make(world, EXPECT)(bearer(world.authority.token(world.key)))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_two_tokens_never_reach_the_application(world: World, make: Any) -> None:
    token = world.authority.token(world.key)
    assert make(world, EXPECT)(bearer(token) + bearer(token)).status in {400, 401}


def test_a_bound_token_needs_its_proof_for_this_very_address(world: World, make: Any) -> None:
    key = make_key("ES256")
    token = world.authority.token(world.key, cnf={"jkt": key.kid}, sub="alice")
    bare = {name: key.jwk[name] for name in ("kty", "crv", "x", "y")}

    def proof(uri: str, number: int) -> str:
        claims = {
            "jti": f"{make.__name__}-{number}",
            "htm": "GET",
            "htu": uri,
            "iat": world.clock.wall(),
            "ath": encode_base64url(sha256(token.encode()).digest()),
        }
        return jws(key, {"typ": "dpop+jwt", "alg": "ES256", "jwk": bare}, claims)

    call = make(world, EXPECT, origin=MAIL)
    dpop = [("Authorization", f"DPoP {token}")]
    assert call([*dpop, ("DPoP", proof(f"{MAIL}/inbox", 1))]).body == b"alice"
    for headers in (
        bearer(token),
        dpop,
        [*dpop, ("DPoP", proof(f"{MAIL}/outbox", 2))],
        [*dpop, ("DPoP", proof("https://attacker.example/inbox", 3)), ("Host", "attacker.example")],
        [*dpop, ("DPoP", proof(f"{MAIL}/inbox", 4)), ("DPoP", proof(f"{MAIL}/inbox", 5))],
    ):
        answer = call(headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("DPoP error=")
        assert 'algs="' in answer.headers["www-authenticate"]


def test_a_certificate_header_is_believed_only_where_it_is_configured(world: World, make: Any) -> None:
    certificate = b"certificate"
    cnf = {"x5t#S256": encode_base64url(sha256(certificate).digest())}
    token = world.authority.token(world.key, cnf=cnf, sub="alice")
    headers = [*bearer(token), ("Client-Cert", ":Y2VydGlmaWNhdGU=:")]
    assert make(world, EXPECT, certificate_header="Client-Cert")(headers).body == b"alice"
    assert make(world, EXPECT)(headers).said["reason"] == "certificate_missing"
    other = [*bearer(token), ("Client-Cert", ":b3RoZXI=:")]
    assert (
        make(world, EXPECT, certificate_header="Client-Cert")(other).said["reason"] == "certificate_mismatch"
    )


def test_an_origin_must_be_an_origin(world: World, make: Any) -> None:
    from sealwright_validate import Misconfigured

    for odd in ("mail.example", "https://mail.example/inbox", "ftp://mail.example"):
        with pytest.raises(Misconfigured):
            make(world, EXPECT, origin=odd)
    with pytest.raises(Misconfigured):
        make(world, Expect(audience=MAIL, realm="enterprise", possession="dpop"))
