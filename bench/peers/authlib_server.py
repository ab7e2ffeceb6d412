"""An Authlib token server for the issuing benchmark, on FastAPI, the fastest form that its users run.

RFC 9068 access tokens by Authlib's own generator, one client, client credentials, nothing stored. It may
never listen anywhere but on 127.0.0.1 (its server is told so by bench/harness/peers.py), and holds a key that
lives for one run.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from fastapi import FastAPI, Request, Response
from joserfc.jwk import Key, import_key

SETTINGS_VARIABLE = "BENCH_AUTHLIB_SETTINGS"  # the path of the JSON that bench/harness/peers.py writes


@dataclass(frozen=True, slots=True)
class Client:
    """The one registered client, with the methods that Authlib asks of it."""

    client_id: str
    client_secret: str
    scope: str

    def get_client_id(self) -> str:
        """The client's id."""
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """What of `scope` the client may have."""
        return " ".join(word for word in (scope or "").split() if word == self.scope)

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether the secret is the client's."""
        return secrets.compare_digest(self.client_secret, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether the client may authenticate like this."""
        return endpoint != "token" or method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client may use this grant."""
        return grant_type == "client_credentials"


class Generator(JWTBearerTokenGenerator):  # type: ignore[misc]  # Authlib is made to be subclassed
    """Authlib's RFC 9068 generator with the run's key and audience; the key is parsed once, which is its fast
    way.
    """

    key: Key
    audience: str

    def get_jwks(self) -> Key:
        """The signing key."""
        return self.key

    def get_audiences(self, client: Client, user: object, scope: str) -> str:  # noqa: ARG002 - as Authlib calls it
        """The audience of every token."""
        return self.audience


class StarletteRequest(OAuth2Request):  # type: ignore[misc]  # Authlib is made to be subclassed
    """What Authlib reads of a request, from one of Starlette whose form was read already."""

    def __init__(self, method: str, uri: str, headers: Any, form: dict[str, str]) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = BasicOAuth2Payload(form)
        self._form = form

    @property
    def form(self) -> dict[str, str]:
        """The form of the body."""
        return self._form


class StarletteAuthorizationServer(AuthorizationServer):  # type: ignore[misc]  # Authlib is made to be subclassed
    """Authlib's framework-neutral server, answering with Starlette's responses."""

    client: Client

    def query_client(self, client_id: str) -> Client | None:
        """The client with this id."""
        return self.client if client_id == self.client.client_id else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """JWT access tokens need no storage."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """The request as it is: the endpoint made it already."""
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]]) -> Response:
        """The answer as JSON."""
        return Response(json.dumps(body), status, dict(headers))


def settings() -> dict[str, Any]:
    """What the run decided: key, port, client."""
    read: dict[str, Any] = json.loads(Path(os.environ[SETTINGS_VARIABLE]).read_text())
    return read


def client_of(made: dict[str, Any]) -> Client:
    """The client that the settings name."""
    return Client(made["client_id"], made["client_secret"], made["scope"])


def generator_of(made: dict[str, Any]) -> Generator:
    """The token generator that the settings name."""
    generator = Generator(made["issuer"], made["alg"], expires_generator=made["lifetime"])
    generator.key = import_key(made["key"], "RSA" if made["alg"] == "RS256" else "EC")
    generator.audience = made["audience"]
    return generator


def fastapi_app() -> FastAPI:
    """Authlib's server behind a FastAPI route, for uvicorn."""
    made = settings()
    server = StarletteAuthorizationServer()
    server.client = client_of(made)
    generator = generator_of(made)
    server.register_token_generator("default", generator)
    server.register_grant(ClientCredentialsGrant)
    app = FastAPI()

    @app.post("/token")
    async def token(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        answer = server.create_token_response(
            StarletteRequest(request.method, str(request.url), request.headers, form)
        )
        assert isinstance(answer, Response)  # noqa: S101
        return answer

    @app.get("/jwks")
    async def jwks() -> dict[str, Any]:
        return {"keys": [generator.key.as_dict(private=False)]}

    return app
