"""The ordinary twin checks issuer, audience, time and signature as PyJWT's documentation says: not enough."""

import asyncio
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sealwright.config import Config
from sealwright.demo.mail import mail_app, mail_routes
from sealwright.demo.ordinary import OrdinaryGuard, UnionOfKeys

ISSUER = Config().issuer("enterprise")
AUDIENCE = Config().realms["enterprise"].audiences[0]


class Publisher:
    """Serves the JWKS of two realms, as the authority does."""

    def __init__(self) -> None:
        self.keys = {realm: ec.generate_private_key(ec.SECP256R1()) for realm in ("consumer", "enterprise")}
        self.fetches = 0

    def jwks(self, realm: str) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.keys[realm].public_key()))
        return {"keys": [public | {"kid": realm, "alg": "ES256", "use": "sig"}]}

    def token(self, realm: str, **changes: Any) -> str:
        now = int(time.monotonic()) + 4_000_000_000  # far from any real expiry; only differences matter
        claims = {"iss": ISSUER, "aud": AUDIENCE, "client_id": "someone", "iat": 1, "exp": now} | changes
        return jwt.encode(
            claims, self.keys[realm], algorithm="ES256", headers={"kid": realm, "typ": "at+jwt"}
        )


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def urls(publisher: Publisher) -> Iterator[list[str]]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.fetches += 1
            body = json.dumps(publisher.jwks(self.path.split("/")[1])).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        yield [f"{base}/{realm}/jwks.json" for realm in ("consumer", "enterprise")]
        server.shutdown()
        thread.join()


@pytest.fixture
def guard(urls: list[str]) -> OrdinaryGuard:
    app = mail_app(
        mail_routes("PyJWT", lambda request: request.scope["claims"]["client_id"], lambda: {"ready": True})
    )
    return OrdinaryGuard(app, UnionOfKeys(urls), ["ES256"], ISSUER, AUDIENCE)


def get(guard: OrdinaryGuard, path: str, **headers: str) -> int:
    async def ask() -> int:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://mail.test") as client:
            return (await client.get(path, headers=headers)).status_code

    return asyncio.run(ask())


def answer(guard: OrdinaryGuard, token: str) -> int:
    return get(guard, "/messages", authorization=f"Bearer {token}")


@pytest.mark.enable_socket
def test_a_token_of_the_realm_reads_mail(guard: OrdinaryGuard, publisher: Publisher) -> None:
    assert answer(guard, publisher.token("enterprise")) == 200


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    "changes",
    [{"iss": Config().issuer("consumer")}, {"aud": "https://other.example"}, {"exp": 2}],
    ids=["issuer", "audience", "expiry"],
)
def test_its_checks_are_on(guard: OrdinaryGuard, publisher: Publisher, changes: dict[str, Any]) -> None:
    assert answer(guard, publisher.token("enterprise", **changes)) == 401


@pytest.mark.enable_socket
def test_a_key_of_the_other_realm_passes_all_of_them(guard: OrdinaryGuard, publisher: Publisher) -> None:
    """The flaw of 2023: nothing ties a key to the issuer that it is for."""
    assert answer(guard, publisher.token("consumer")) == 200


@pytest.mark.enable_socket
def test_what_is_no_token_is_refused(guard: OrdinaryGuard) -> None:
    assert get(guard, "/messages") == 401
    assert answer(guard, "nonsense") == 401
    assert get(guard, "/healthz") == 200


@pytest.mark.enable_socket
def test_unknown_keys_do_not_make_it_fetch_without_end(urls: list[str], publisher: Publisher) -> None:
    keys = UnionOfKeys(urls)
    for _ in range(50):
        with pytest.raises(jwt.InvalidKeyError):
            keys.get("unknown")
    assert publisher.fetches == len(urls)


@pytest.mark.enable_socket
def test_without_an_authority_it_knows_no_key() -> None:
    keys = UnionOfKeys(["http://127.0.0.1:1/consumer/jwks.json"])
    with pytest.raises(jwt.InvalidKeyError):
        keys.get("any")
