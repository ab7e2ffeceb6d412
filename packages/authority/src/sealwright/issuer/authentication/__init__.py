"""Client authentication at the token endpoint: one file per method, exactly one method per request.

RFC 6749 §2.3: a client must not use more than one. Nothing here accepts a token as a credential.
"""

from __future__ import annotations

from sealwright.errors import Refused
from sealwright.issuer.authentication import private_key_jwt, secret
from sealwright.issuer.authentication.assertion import AssertionContext
from sealwright.issuer.model import Client, ClientKind, TokenRequest
from sealwright.issuer.ports import ClientLookup

BASIC, POST, ASSERTION = "client_secret_basic", "client_secret_post", "private_key_jwt"
BY_SECRET = frozenset({BASIC, POST})
"""Methods whose credentials stay the same from request to request."""
FAILED = "client authentication failed"
"""The one public sentence for every failure, so that an answer does not tell which part was wrong."""


def require_client(
    request: TokenRequest, clients: ClientLookup, context: AssertionContext
) -> tuple[Client, str]:
    """The authenticated client, and the name of the method it used.

    Raises:
        Refused: `invalid_client` or `invalid_request` (more than one method).
    """
    form = request.form
    used = [
        request.authorization is not None,
        "client_secret" in form,
        "client_assertion" in form or "client_assertion_type" in form,
    ]
    if sum(used) > 1:
        raise Refused("invalid_request", "use one way to authenticate, not several")
    if request.authorization is not None:
        client, method = secret.require_basic(request.authorization, clients), BASIC
    elif used[1]:
        client, method = secret.require_post(form, clients), POST
    elif used[2]:
        client, method = private_key_jwt.require_assertion(form, clients, context), ASSERTION
    else:
        raise Refused("invalid_client", FAILED, "no credentials")
    if not client.enabled or client.realm != request.realm or client.kind is not ClientKind.CLIENT:
        raise Refused("invalid_client", FAILED, f"{client.client_id}: disabled, of another realm or kind")
    if form.get("client_id", client.client_id) != client.client_id:
        raise Refused("invalid_client", FAILED, "client_id is not that of the credentials")
    return client, method
