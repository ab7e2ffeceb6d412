"""One file per grant. A grant decides what is asked of the signer; it signs nothing and sees no key.

A grant type without a file here is refused: in particular nothing turns one token into another (RFC 8693 and
refresh tokens are not offered), so that possession of a token never yields a longer, wider or newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sealwright.issuer.grants import client_credentials
from sealwright.issuer.model import Client, Grant, RealmPolicy, TokenRequest

Decide = Callable[[TokenRequest, Client, RealmPolicy, str], Grant]

GRANTS: Mapping[str, Decide] = {client_credentials.GRANT_TYPE: client_credentials.decide}
"""Grant type to the function that decides it."""
