"""A request that is held until a signer can answer it is decided again: its client may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from authority_support.fronts import DEADLINE, SECRET, NoReplay, Signer
from sealwright.clock import SystemClock
from sealwright.errors import Refused, Unavailable
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client, Outcome, RealmPolicy, Signed, TokenRequest
from sealwright.issuer.service import Issuer

APP = Client("app", "enterprise", secret_digest(SECRET), ("https://api.example",), ("read",))
FORM = {"grant_type": "client_credentials", "client_id": "app", "client_secret": SECRET}


class Site:
    """A client that changes, and a signer that is away until it is called."""

    def __init__(self) -> None:
        self.app: Client | None = APP
        self.signer: Signer | None = None

    def get(self, _client_id: str) -> Client | None:
        return self.app

    def signing_key(self, _realm: str) -> tuple[Signer, str]:
        if self.signer is None:
            raise Unavailable("no_active_key", "no signer is there")
        return self.signer, "kid"


async def held(change: Callable[[Site], None]) -> Outcome:
    """What becomes of a request that waits while this happens."""
    site = Site()
    realm = RealmPolicy("enterprise", "http://127.0.0.1/enterprise", 600, 3_600)
    issuer = Issuer(
        {"enterprise": realm},
        site,
        NoReplay(),
        site.signing_key,
        lambda *_: None,
        SystemClock(),
        patience=3_600,
    )
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    issuer.submit(issuer.decide(TokenRequest("enterprise", FORM)), answered.set_result)
    change(site)
    site.signer = Signer()
    async with asyncio.timeout(DEADLINE):
        return await answered


def nothing(_site: Site) -> None: ...


def disable(site: Site) -> None:
    site.app = replace(APP, enabled=False)


def remove(site: Site) -> None:
    site.app = None


def narrow(site: Site) -> None:
    site.app = replace(APP, scopes=())


def test_a_request_of_an_unchanged_client_is_answered() -> None:
    assert isinstance(asyncio.run(held(nothing)), Signed)


@pytest.mark.parametrize("change", [disable, remove, narrow])
def test_a_client_that_changes_while_its_request_is_held_gets_nothing(change: Callable[[Site], None]) -> None:
    outcome = asyncio.run(held(change))
    assert isinstance(outcome, Refused)
    assert outcome.code == "invalid_client"
