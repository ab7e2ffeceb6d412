"""Client credentials, RFC 6749 §4.4: a token for the client itself.

It may never name another subject, an audience or a scope that the client is not registered for.
"""

from __future__ import annotations

from sealwright.errors import Refused
from sealwright.issuer.model import Client, Grant, RealmPolicy, TokenRequest

GRANT_TYPE = "client_credentials"


def decide(request: TokenRequest, client: Client, realm: RealmPolicy, authentication: str) -> Grant:
    """What this client gets.

    Args:
        request: `scope` (RFC 6749 §3.3) and `resource` or `audience` (RFC 8707) are read, both optional.
        client: authenticated.
        realm: the realm that was asked.
        authentication: how the client authenticated; goes into the private record.

    Raises:
        Refused: `invalid_scope`, `invalid_target` (RFC 8707 §2).
    """
    return Grant(
        client=client,
        subject=client.client_id,
        audiences=_audiences(request, client),
        scope=_scope(request.form.get("scope", ""), client),
        lifetime=realm.default_lifetime,
        grant_type=GRANT_TYPE,
        authentication=authentication,
    )


def _audiences(request: TokenRequest, client: Client) -> tuple[str, ...]:
    asked = request.form.get("resource") or request.form.get("audience")
    if asked is None:
        return client.audiences[:1]
    if asked not in client.audiences:
        raise Refused("invalid_target", "this client may not ask for tokens for that resource")
    return (asked,)


def _scope(asked: str, client: Client) -> str:
    if not asked:
        return " ".join(client.scopes)
    wanted = asked.split(" ")
    if not set(wanted) <= set(client.scopes) or len(set(wanted)) != len(wanted):
        raise Refused("invalid_scope", "the client is not registered for that scope, or it is malformed")
    return asked
