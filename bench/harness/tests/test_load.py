import http.server
import json
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness.load import Target, require_valid
from harness.model import WrongAnswer

pytestmark = pytest.mark.enable_socket

KEY = ec.generate_private_key(ec.SECP256R1())


class Keys(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the JWKS of KEY."""

    def do_GET(self) -> None:
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "one", "alg": "ES256"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [jwk]}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server calls it
        pass


@pytest.fixture
def target() -> Iterator[Target]:
    with http.server.HTTPServer(("127.0.0.1", 0), Keys) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Target(
            server.server_port,
            "/token",
            "/jwks",
            "c",
            "s",
            {},
            "ES256",
            "https://as",
            "api",
            0,
            lambda pid: "",
        )
        server.shutdown()
        thread.join()


def token(key: Any = KEY, algorithm: str = "ES256", typ: str = "at+jwt", **changed: object) -> str:
    now = int(time.time())
    claims = {"iss": "https://as", "sub": "c", "aud": "api", "client_id": "c", "iat": now, "exp": now + 60}
    claims["jti"] = secrets.token_hex(8)
    return jwt.encode(claims | changed, key, algorithm, {"kid": "one", "typ": typ})


def test_valid_tokens_pass(target: Target) -> None:
    require_valid(target, [token(), token()])


@pytest.mark.parametrize(
    "made",
    [
        {"typ": "JWT"},
        {"key": "k" * 64, "algorithm": "HS256"},
    ],
)
def test_another_kind_of_token_is_a_wrong_answer(target: Target, made: dict[str, Any]) -> None:
    with pytest.raises(WrongAnswer):
        require_valid(target, [token(**made)])


@pytest.mark.parametrize(
    "made",
    [
        {"key": ec.generate_private_key(ec.SECP256R1())},
        {"aud": "other"},
        {"iss": "https://other"},
        {"exp": 1},
    ],
)
def test_an_invalid_token_is_refused(target: Target, made: dict[str, Any]) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        require_valid(target, [token(**made)])


def test_the_same_token_twice_is_a_wrong_answer(target: Target) -> None:
    same = token()
    with pytest.raises(WrongAnswer, match="different jti"):
        require_valid(target, [same, same])
