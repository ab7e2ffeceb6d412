"""Relying parties as most are built today: signature, issuer, audience and expiry, and nothing about the key.

Each is used as its documentation shows, with issuer and audience checks on, fed the union of both realms'
keys as the mail system of 2023 was. Sealwright publishes no such union; the drill makes it here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import joserfc.jwk
import joserfc.jwt
import jwt
from joserfc.errors import JoseError

with warnings.catch_warnings(record=True):
    # Authlib points its users to joserfc; many still use this module, so it is shown as well.
    warnings.simplefilter("ignore")
    from authlib.jose import JsonWebKey, JsonWebToken
    from authlib.jose.errors import JoseError as AuthlibError

Verify = Callable[[str, dict[str, Any], str, str], None]


def pyjwt(token: str, jwks: dict[str, Any], issuer: str, audience: str) -> None:
    """PyJWT, https://pyjwt.readthedocs.io: the key is chosen by `kid` from the set."""
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(key for key in jwt.PyJWKSet.from_dict(jwks).keys if key.key_id == kid)
    jwt.decode(token, key, algorithms=["ES256"], issuer=issuer, audience=audience)


def use_joserfc(token: str, jwks: dict[str, Any], issuer: str, audience: str) -> None:
    """joserfc, https://jose.authlib.org: decode, then validate claims."""
    keys = joserfc.jwk.KeySet.import_key_set(jwks)  # type: ignore[arg-type] # a plain JWKS, as fetched
    decoded = joserfc.jwt.decode(token, keys, algorithms=["ES256"])
    registry = joserfc.jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": audience}
    )
    registry.validate(decoded.claims)


def authlib(token: str, jwks: dict[str, Any], issuer: str, audience: str) -> None:
    """Authlib's jose, https://docs.authlib.org."""
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": audience},
    }
    claims = JsonWebToken(["ES256"]).decode(token, JsonWebKey.import_key_set(jwks), claims_options=options)
    claims.validate()


PEERS: dict[str, Verify] = {"PyJWT": pyjwt, "joserfc": use_joserfc, "Authlib": authlib}
REFUSALS = (jwt.PyJWTError, JoseError, AuthlibError, StopIteration, ValueError)


def accepts(verify: Verify, token: str, jwks: dict[str, Any], issuer: str, audience: str) -> bool:
    """Whether a relying party built on this library lets the token in."""
    try:
        verify(token, jwks, issuer, audience)
    except REFUSALS:
        return False
    return True
