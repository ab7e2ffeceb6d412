"""Who may manage security event streams: receivers with an access token of ours, or registered reporters.

An access token must be for `signals.audience` and is validated like any relying party's. May never take a
token that our own validator refuses.
"""

from __future__ import annotations

from sealwright.config import Config
from sealwright.errors import Refused, Unavailable
from sealwright.issuer.ports import ClientLookup
from sealwright.wiring.clients import ReporterCredentials
from sealwright.wiring.selfcheck import SelfCheck
from sealwright_validate import Expect
from sealwright_validate import Refused as ValidatorRefused
from sealwright_validate import Unavailable as ValidatorUnavailable

BEARER, BASIC = "bearer", "basic"


class Receivers:
    """`ReceiverAuth` of the running authority."""

    def __init__(self, config: Config, clients: ClientLookup, selfcheck: SelfCheck) -> None:
        self._basic = ReporterCredentials(clients)
        self._selfcheck = selfcheck
        realms = [name for name, realm in config.realms.items() if config.signals.audience in realm.audiences]
        self._expect = Expect(audience=config.signals.audience, realm=realms) if realms else None

    async def receiver(self, unverified_authorization: str | None, scope: str) -> str:
        """See the port. A reporter may do everything with its own streams."""
        scheme, _, unverified_credentials = (unverified_authorization or "").partition(" ")
        if scheme.lower() == BASIC:
            return await self._basic.reporter(unverified_authorization)
        if scheme.lower() != BEARER or self._expect is None:
            raise Refused("invalid_token", "Show an access token for this service, or a reporter's secret.")
        try:
            claims = self._selfcheck.claims(unverified_credentials.strip(), self._expect)
        except ValidatorRefused as error:
            raise Refused("invalid_token", "The access token is not valid here.", str(error)) from error
        except ValidatorUnavailable as error:
            raise Unavailable("no_keys", "Tokens cannot be validated now.", str(error)) from error
        if scope not in str(claims.get("scope", "")).split():
            raise Refused("insufficient_scope", f"The access token lacks the scope {scope}.")
        return str(claims["client_id"])
