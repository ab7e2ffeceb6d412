"""`client_secret_basic` and `client_secret_post`, RFC 6749 §2.3.1.

Secrets are made by us with 256 random bits and compared by SHA-256 digest in constant time. A password hash
would protect nothing here and cost milliseconds.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Mapping
from urllib.parse import unquote_plus

from sealwright.errors import Refused
from sealwright.ids import secret_digest
from sealwright.issuer.model import AuthMethod, Client
from sealwright.issuer.ports import ClientLookup

_FAILED = "client authentication failed"
MAX_CLIENT_ID = 128
_NOBODY = secret_digest("")


def require_basic(authorization: str, clients: ClientLookup) -> Client:
    """The client of an `Authorization: Basic` header.

    Raises:
        Refused: `invalid_client`.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise Refused("invalid_client", "authenticate with Basic, client_secret or a client assertion")
    try:
        text = binascii.a2b_base64(encoded, strict_mode=True).decode()
    except ValueError as error:
        raise Refused("invalid_client", _FAILED, "not base64 of UTF-8") from error
    client_id, colon, secret = text.partition(":")
    if not colon:
        raise Refused("invalid_client", _FAILED, "no colon")
    return _require(unquote_plus(client_id), unquote_plus(secret), clients)


def require_post(form: Mapping[str, str], clients: ClientLookup) -> Client:
    """The client of `client_id` and `client_secret` in the body.

    Raises:
        Refused: `invalid_client`.
    """
    return _require(form.get("client_id", ""), form["client_secret"], clients)


def _require(client_id: str, secret: str, clients: ClientLookup) -> Client:
    client = clients.get(client_id) if client_id.isprintable() and len(client_id) <= MAX_CLIENT_ID else None
    known = (
        client is not None and client.auth_method is AuthMethod.SECRET and client.secret_digest is not None
    )
    stored = client.secret_digest if client is not None and known else _NOBODY
    same = hmac.compare_digest(secret_digest(secret), stored or _NOBODY)
    if client is None or not known or not same:
        # Only a registered name is told to the log: people put addresses and secrets into the wrong field.
        raise Refused("invalid_client", _FAILED, f"client {client.client_id}" if client else "no such client")
    return client
