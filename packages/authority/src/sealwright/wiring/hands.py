"""What response acts and looks with in the running authority: `Hands` and `Eyes`.

Each act only takes power away. A preview reads the newest part of the ledger, and says so where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sealwright.admin.model import Action
from sealwright.clock import Clock
from sealwright.errors import Refused
from sealwright.ids import new_id
from sealwright.keys.service import KeyService
from sealwright.response.model import Preview
from sealwright.response.ssf.rules import token_revoked
from sealwright.response.ssf.service import Transmitter
from sealwright.store.clients import SqlClientStore
from sealwright.store.keys import SqlKeyStore
from sealwright.store.strict import SqlStrictStore
from sealwright.wiring.living import MOST, Live, LiveTokens
from sealwright.wiring.outbox import initiator


class AuthorityEyes:
    """`Eyes` on the ledger and the keys."""

    def __init__(self, tokens: LiveTokens, keys: SqlKeyStore) -> None:
        self._tokens = tokens
        self._keys = keys

    def preview(self, action: Action, subject: str) -> Preview:
        """See the port."""
        if action is Action.END_FAMILY:
            live, complete = self._tokens.family(subject)
        else:
            live, complete = self._tokens.read(self._touches(action, subject))
        return Preview(
            live_tokens=len(live),
            clients=len({one.client_id for one in live} - {None}),
            tenants=len({one.tenant for one in live} - {None}),
            note="" if complete else f"at least: the newest {MOST} leaves were read",
        )

    def realm_of(self, kid: str) -> str | None:
        """See the port."""
        key = self._keys.get(kid)
        return key.realm if key is not None else None

    def _touches(self, action: Action, subject: str) -> Callable[[Live], bool]:
        if action is Action.REQUIRE_STRICT:
            kids = {key.kid for key in self._keys.unretired() if key.realm == subject}
            return lambda live: live.kid in kids
        if action is Action.DISABLE_CLIENT:
            return lambda live: live.client_id == subject
        return lambda live: live.kid == subject


class StrictRealms:
    """Which realms are strict: those of the configuration, and those that a response has raised."""

    def __init__(
        self, configured: list[str], known: list[str], store: SqlStrictStore, keys: KeyService, clock: Clock
    ) -> None:
        self._configured = configured
        self._known = known
        self._store = store
        self._keys = keys
        self._clock = clock

    async def require_known(self, realm: str) -> None:
        """Raises `Refused` (`unknown_realm`)."""
        if realm not in self._known:
            raise Refused("unknown_realm", "There is no such realm.")

    async def raise_realm(self, realm: str, reason: str) -> None:
        """Raise a realm; stays over restarts. Raises `Refused` (`unknown_realm`)."""
        await self.require_known(realm)
        await asyncio.to_thread(self._store.raise_realm, realm, self._clock.now(), reason)
        await self._apply()

    async def require_raised(self, realm: str) -> None:
        """See `Strictness`."""
        await self.require_known(realm)
        if realm not in await asyncio.to_thread(self._store.raised):
            raise Refused("not_raised", "No response has raised this realm.")

    async def lower_realm(self, realm: str) -> None:
        """See `Strictness`."""
        await self.require_raised(realm)
        await asyncio.to_thread(self._store.lower_realm, realm)
        await self._apply()

    async def _apply(self) -> None:
        raised = await asyncio.to_thread(self._store.raised)
        await self._keys.set_strict([*self._configured, *(set(raised) - set(self._configured))])


class AuthorityHands:
    """`Hands` of the running authority."""

    def __init__(
        self,
        keys: KeyService,
        clients: SqlClientStore,
        forget_clients: Callable[[], None],
        strict: StrictRealms,
        tokens: LiveTokens,
        transmitter: Transmitter,
        issuer_of: Callable[[str], str | None],
    ) -> None:
        self._keys = keys
        self._clients = clients
        self._forget_clients = forget_clients
        self._strict = strict
        self._tokens = tokens
        self._transmitter = transmitter
        self._issuer_of = issuer_of
        self._acts: dict[Action, Callable[[str, str], Awaitable[None]]] = {
            Action.REVOKE_KEY: self._revoke,
            Action.DISABLE_CLIENT: self._disable,
            Action.REQUIRE_STRICT: strict.raise_realm,
            Action.END_FAMILY: self._end_family,
        }
        self._requirements: dict[Action, Callable[[str], Awaitable[object]]] = {
            Action.REVOKE_KEY: keys.require_revocable,
            Action.DISABLE_CLIENT: self._require_client,
            Action.REQUIRE_STRICT: strict.require_known,
            Action.END_FAMILY: self._living,
        }

    async def require_possible(self, action: Action, subject: str) -> None:
        """See the port."""
        require = self._requirements.get(action)
        if require is None:
            raise Refused("no_response", "That is not something a response can do.")
        await require(subject)

    async def act(self, action: Action, subject: str, reason: str) -> None:
        """See the port."""
        do = self._acts.get(action)
        if do is None:
            raise Refused("no_response", "That is not something a response can do.")
        await do(subject, reason)

    async def _revoke(self, kid: str, reason: str) -> None:
        await self._keys.revoke(kid, reason)
        self._transmitter.wake()

    async def _disable(self, client_id: str, _reason: str) -> None:
        await asyncio.to_thread(self._clients.set_enabled, client_id, enabled=False)
        self._forget_clients()
        self._transmitter.wake()

    async def _require_client(self, client_id: str) -> None:
        if await asyncio.to_thread(self._clients.get, client_id) is None:
            raise Refused("unknown_client", f"no client {client_id}")

    async def _living(self, family: str) -> list[Live]:
        live, _ = await asyncio.to_thread(self._tokens.family, family)
        if not live:
            raise Refused("unknown_family", "No token of this family lives.")
        return live

    async def _end_family(self, family: str, reason: str) -> None:
        """Tell receivers that every token of the family that lives is revoked; a token is named by its
        place.
        """
        live = await self._living(family)
        txn, by = new_id("txn"), initiator()
        at = self._transmitter.now()
        events = [
            token_revoked(issuer, one.place, at, txn, reason, by)
            for one in live
            if (issuer := self._issuer_of(one.kid)) is not None
        ]
        await self._transmitter.emit(events)
