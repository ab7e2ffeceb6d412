"""Admin routes for clients. Behind the admin socket only. A secret is shown once, in the answer that makes
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import jwt
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sealwright.errors import Refused
from sealwright.ids import new_client_secret, new_id, secret_digest
from sealwright.issuer.model import AuthMethod, Client, ClientKind
from sealwright.issuer.ports import ClientStore

MAX_BODY = 65_536
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth", "priv"})
Audit = Callable[[str, str, dict[str, Any]], Coroutine[Any, Any, None]]


class RealmGrants(Protocol):
    """What clients of a realm can be registered for."""

    @property
    def audiences(self) -> tuple[str, ...]:
        """What its tokens can be for."""
        ...

    @property
    def scopes(self) -> tuple[str, ...]:
        """None listed: the realm leaves them to its clients."""
        ...


class ClientRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /admin/clients`."""

    realm: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    client_id: str | None = None
    kind: ClientKind = ClientKind.CLIENT
    jwks: dict[str, Any] | None = None


def _answer(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def _describe(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "realm": client.realm,
        "audiences": client.audiences,
        "scopes": client.scopes,
        "auth_method": client.auth_method,
        "kind": client.kind,
        "enabled": client.enabled,
    }


def _require_public_keys(jwks: dict[str, Any]) -> None:
    """At least one key, each an asymmetric public one that we can verify with; never a private half.

    Raises:
        Refused: `bad_jwks`.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys:
        raise Refused("bad_jwks", "a JWKS has a member keys with at least one key")
    for key in keys:
        if not isinstance(key, dict) or key.get("kty") not in {"EC", "OKP", "RSA"}:
            raise Refused("bad_jwks", "every key is an EC, OKP or RSA public key")
        if _PRIVATE & key.keys():
            raise Refused(
                "bad_jwks", "a key has a private half: register the public one, and replace that key"
            )
        try:
            jwt.PyJWK(key)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise Refused("bad_jwks", f"a key cannot be used: {error}") from error


def _register(asked: ClientRequest, realms: Mapping[str, RealmGrants], secret: str) -> Client:
    realm = realms.get(asked.realm)
    if realm is None:
        raise Refused("unknown_realm", f"no realm {asked.realm}")
    if asked.kind is ClientKind.CLIENT and not asked.audiences:
        raise Refused("no_audience", "a client needs at least one audience")
    if not set(asked.audiences) <= set(realm.audiences):
        listed = ", ".join(realm.audiences)
        raise Refused("audience_not_allowed", f"realm {asked.realm} has the audiences {listed}")
    if realm.scopes and not set(asked.scopes) <= set(realm.scopes):
        raise Refused("scope_not_allowed", f"realm {asked.realm} has the scopes {', '.join(realm.scopes)}")
    if asked.client_id is not None and not _CLIENT_ID.fullmatch(asked.client_id):
        raise Refused("bad_client_id", "a client id has 1 to 128 letters, digits or . _ ~ : -")
    if asked.jwks is not None:
        _require_public_keys(asked.jwks)
    return Client(
        client_id=asked.client_id or new_id("client"),
        realm=asked.realm,
        secret_digest=None if asked.jwks is not None else secret_digest(secret),
        audiences=asked.audiences,
        scopes=asked.scopes,
        auth_method=AuthMethod.PRIVATE_KEY_JWT if asked.jwks is not None else AuthMethod.SECRET,
        jwks=asked.jwks,
        kind=asked.kind,
    )


def admin_routes(
    store: ClientStore, realms: Mapping[str, RealmGrants], audit: Audit, changed: Callable[[], None]
) -> list[Route]:
    """`GET` and `POST /admin/clients`, `POST /admin/clients/{id}/enable` and `/disable`."""

    async def list_clients(_request: Request) -> Response:
        return _answer({"clients": [_describe(client) for client in store.list()]})

    async def add(request: Request) -> Response:
        secret = new_client_secret()
        try:
            asked = msgspec.json.decode((await request.body())[:MAX_BODY], type=ClientRequest)
            client = _register(asked, realms, secret)
            await audit("clients.add", client.client_id, _describe(client))
            store.add(client)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _answer({"error": "malformed_request", "message": str(error)}, 400)
        except Refused as error:
            return _answer({"error": error.code, "message": error.public}, 409)
        changed()
        shown = {} if client.jwks else {"client_secret": secret}
        return _answer(_describe(client) | shown, 201)

    async def switch(request: Request) -> Response:
        client_id, what = request.path_params["client_id"], request.path_params["what"]
        if what not in {"enable", "disable"}:
            return _answer({"error": "not_found", "message": "enable or disable"}, 404)
        enabled = what == "enable"
        try:
            await audit("clients.enable" if enabled else "clients.disable", client_id, {})
            store.set_enabled(client_id, enabled=enabled)
        except Refused as error:
            return _answer({"error": error.code, "message": error.public}, 404)
        changed()
        return _answer({"client_id": client_id, "enabled": enabled})

    return [
        Route("/admin/clients", list_clients, methods=["GET"]),
        Route("/admin/clients", add, methods=["POST"]),
        Route("/admin/clients/{client_id}/{what}", switch, methods=["POST"]),
    ]
