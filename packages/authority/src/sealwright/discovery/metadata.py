"""Authorization server metadata (RFC 8414) and OpenID Provider metadata of one realm. Pure.

There is no document that speaks of two realms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sealwright.keys.model import Key, KeyState

ASSERTION_ALGORITHMS = ("ES256", "EdDSA", "RS256", "PS256")
JWKS_STATES = frozenset({KeyState.STAGED, KeyState.ACTIVE, KeyState.VERIFY_ONLY})
MAX_JWKS_AGE = 300


@dataclass(frozen=True, slots=True)
class RealmView:
    """What is published of a realm."""

    name: str
    issuer: str
    scopes: tuple[str, ...]
    grants: tuple[str, ...]
    algorithms: tuple[str, ...]


def authorization_server(realm: RealmView) -> dict[str, Any]:
    """RFC 8414 §2."""
    return {
        "issuer": realm.issuer,
        "token_endpoint": f"{realm.issuer}/oauth2/token",
        "jwks_uri": f"{realm.issuer}/jwks.json",
        "introspection_endpoint": f"{realm.issuer}/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "scopes_supported": list(realm.scopes),
        "response_types_supported": [],
        "grant_types_supported": list(realm.grants),
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
    }


def openid_provider(realm: RealmView) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 §3, for libraries that look nowhere else. No ID tokens are issued."""
    return authorization_server(realm) | {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(realm.algorithms),
    }


def jwks(keys: list[Key], realm: str, now: float) -> dict[str, Any]:
    """The plain JWKS (RFC 7517) of one realm: keys that sign, will sign or whose tokens may still live."""
    listed = [
        key for key in keys if key.realm == realm and key.state in JWKS_STATES and now <= key.verify_until
    ]
    return {"keys": [key.jwk for key in sorted(listed, key=lambda key: (key.use_from, key.kid))]}


def jwks_max_age(lead: int) -> int:
    """Seconds that a cache may keep the JWKS: half of the rollover lead, at most five minutes."""
    return max(1, min(lead // 2, MAX_JWKS_AGE))
