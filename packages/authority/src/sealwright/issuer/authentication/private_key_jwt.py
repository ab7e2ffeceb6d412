"""`private_key_jwt`, RFC 7523 §2.2: the client proves itself with a key that we never see.

Each assertion is good once (`jti`), for five minutes at the most, for this endpoint. Signature and claims
are PyJWT's work; the algorithm is pinned to the registered key, whatever the header says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from sealwright.errors import Refused
from sealwright.issuer.authentication.assertion import AssertionContext
from sealwright.issuer.model import AuthMethod, Client
from sealwright.issuer.ports import ClientLookup

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LIFE = 300
"""Seconds between now and the assertion's `exp`."""
MAX_ID = 256
MAX_CLIENT_ID = 128
LEEWAY = 30
_ALGORITHMS = {"EC": "ES256", "OKP": "EdDSA", "RSA": "RS256"}
_FAILED = "client authentication failed"


def require_assertion(form: Mapping[str, str], clients: ClientLookup, context: AssertionContext) -> Client:
    """The client that signed `client_assertion`.

    Raises:
        Refused: `invalid_client`.
    """
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refused("invalid_client", f"client_assertion_type must be {ASSERTION_TYPE}")
    assertion = form.get("client_assertion", "")
    try:
        unverified = jwt.decode(assertion, options={"verify_signature": False})
        client_id = unverified.get("iss")
    except (jwt.InvalidTokenError, UnicodeError) as error:
        raise Refused("invalid_client", _FAILED, f"assertion: {error}") from error
    if not isinstance(client_id, str) or not client_id.isascii() or len(client_id) > MAX_CLIENT_ID:
        raise Refused("invalid_client", _FAILED, "iss is no client id")
    client = clients.get(client_id)
    if client is None or client.auth_method is not AuthMethod.PRIVATE_KEY_JWT or not client.jwks:
        raise Refused("invalid_client", _FAILED, "assertion of an unknown client")
    claims, now = _verified(assertion, client, context), context.clock.now()
    identifier, expires_at = claims["jti"], int(claims["exp"])
    if claims["sub"] != client.client_id:
        raise Refused("invalid_client", _FAILED, "sub is not the client")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= MAX_ID or not identifier.isascii():
        raise Refused("invalid_client", "the assertion needs a jti of at most 256 ASCII characters")
    if expires_at - now > MAX_LIFE + LEEWAY:
        raise Refused("invalid_client", f"the assertion may live for at most {MAX_LIFE} s")
    if not context.replay.use_once(client.client_id, identifier, expires_at + LEEWAY, int(now)):
        raise Refused("invalid_client", "this assertion was used before")
    return client


def _verified(assertion: str, client: Client, context: AssertionContext) -> dict[str, Any]:
    keys = (client.jwks or {}).get("keys", [])
    kid = jwt.get_unverified_header(assertion).get("kid")
    candidates = [key for key in keys if kid is None or key.get("kid") == kid]
    if len(candidates) != 1:
        raise Refused("invalid_client", _FAILED, "the assertion names no registered key, or several fit")
    try:
        key = jwt.PyJWK(
            candidates[0], algorithm=candidates[0].get("alg") or _ALGORITHMS[candidates[0]["kty"]]
        )
        claims: dict[str, Any] = jwt.decode(
            assertion,
            key,
            algorithms=[key.algorithm_name],
            audience=list(context.audiences),
            issuer=client.client_id,
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "jti"], "strict_aud": False},
        )
    except (jwt.PyJWTError, KeyError, AttributeError, UnicodeError) as error:
        raise Refused("invalid_client", _FAILED, f"assertion: {error}") from error
    return claims
