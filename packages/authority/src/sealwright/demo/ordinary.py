"""The same mail API guarded as the mail system of 2023 was: PyJWT with issuer and audience checks switched
on, and one set of keys for all realms.

The flaw is on purpose: nothing ties a key to the issuer that it is for, so a consumer key can vouch for an
enterprise token. Sealwright publishes no such union; it is made here. May never be used for anything but the
comparison.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sealwright.config import Config
from sealwright.demo.clients import REALM
from sealwright.demo.mail import HEALTH, mail_app, mail_routes

GUARD = "PyJWT"
KEEP = 300.0
"""Seconds that fetched keys are used, as PyJWKClient does by default."""
PAUSE = 1.0
"""Seconds between two fetches for key ids that are not known."""
FETCH_LIMIT = 5.0


class UnionOfKeys:
    """The keys of every realm in one set, by key id.

    Args:
        urls: the JWKS of each realm.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._lock = threading.Lock()

    @property
    def known(self) -> int:
        """How many keys it holds."""
        return len(self._keys)

    def get(self, kid: str) -> jwt.PyJWK:
        """The key with this id.

        Raises:
            InvalidKeyError: no realm publishes it.
        """
        self.refresh(missing=kid)
        if kid not in self._keys:
            raise jwt.InvalidKeyError("no such key")
        return self._keys[kid]

    def refresh(self, missing: str | None = None) -> None:
        """Fetch when what is held is old, or lacks a key; what is held stays when that fails."""
        with self._lock:
            age = time.monotonic() - self._fetched
            if age < PAUSE or (age < KEEP and missing in self._keys):
                return
            self._fetched = time.monotonic()
            try:
                sets = [httpx.get(url, timeout=FETCH_LIMIT).raise_for_status().json() for url in self._urls]
                keys = [jwt.PyJWK.from_dict(key) for one in sets for key in one["keys"]]
            except (httpx.HTTPError, jwt.PyJWTError, KeyError, ValueError):
                return
            self._keys = {str(key.key_id): key for key in keys}


class OrdinaryGuard:
    """ASGI middleware that checks a bearer token with PyJWT as its documentation says.

    Args:
        app: what it guards.
        keys: where keys come from.
        algorithms: the allowed ones.
        issuer: the expected `iss`.
        audience: the expected `aud`.
    """

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        keys: UnionOfKeys,
        algorithms: Sequence[str],
        issuer: str,
        audience: str,
    ) -> None:
        self._app = app
        self._keys = keys
        self._algorithms = list(algorithms)
        self._issuer = issuer
        self._audience = audience

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection (ASGI 3)."""
        if scope["type"] == "http" and scope["path"] != HEALTH:
            try:
                scope["claims"] = self.claims(Request(scope).headers.get("authorization", ""))
            except jwt.PyJWTError as error:
                await _refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def claims(self, authorization: str) -> dict[str, Any]:
        """The claims of a token that PyJWT accepts.

        Raises:
            PyJWTError: it does not.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise jwt.InvalidTokenError("no bearer token")
        kid = jwt.get_unverified_header(token).get("kid")
        key = self._keys.get(str(kid))
        return jwt.decode(
            token,
            key,
            algorithms=self._algorithms,
            issuer=self._issuer,
            audience=self._audience,
            options={"require": ["exp", "iat", "iss", "aud"]},
        )


def _refusal(error: jwt.PyJWTError) -> Response:
    body = {"error": "invalid_token", "error_description": str(error)}
    return JSONResponse(body, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def ordinary_app(config: Config) -> OrdinaryGuard:
    """The ordinary twin of the enterprise realm's mail API."""
    url = config.server.url
    keys = UnionOfKeys([f"{url}/{realm}/jwks.json" for realm in ("consumer", REALM)])
    algorithms = sorted({name for realm in config.realms.values() for name in realm.algorithms})

    def health() -> dict[str, Any]:
        keys.refresh()
        return {"ready": keys.known > 0, "keys": keys.known}

    app = mail_app(mail_routes(GUARD, _reader, health))
    return OrdinaryGuard(app, keys, algorithms, config.issuer(REALM), config.realms[REALM].audiences[0])


def _reader(request: Request) -> str:
    return str(request.scope["claims"].get("client_id", "?"))
