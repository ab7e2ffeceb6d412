"""Introspection at a running authority: it tells whom a token is for, tells others nothing, and is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from authority_support.site import running
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client, ClientKind

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("authority")]
REALM, PATH = "enterprise", "/enterprise/oauth2/introspect"
ASKING, OTHER, FOREIGN = "asking-api", "files-api", "consumer-api"


@pytest.fixture(scope="module")
def site() -> Iterator[Sandbox]:
    with running() as made:
        digest = secret_digest(made.secret)
        for name, realm, audiences in (
            (ASKING, REALM, (made.audience(REALM),)),
            (OTHER, REALM, ("https://files.example",)),
            (FOREIGN, "consumer", (made.audience(REALM),)),
        ):
            made.stores.clients.add(Client(name, realm, digest, audiences, (), kind=ClientKind.REPORTER))
        yield made


@pytest.fixture
def http(site: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=60) as client:
        yield client


@pytest.fixture
def token(site: Sandbox, http: httpx.Client) -> str:
    form = {"grant_type": "client_credentials"}
    answer = http.post(f"/{REALM}/oauth2/token", data=form, auth=(f"{REALM}-app", site.secret))
    made: str = answer.json()["access_token"]
    return made


def told(site: Sandbox, http: httpx.Client, token: str, who: str = ASKING) -> dict[str, Any]:
    answer = http.post(PATH, data={"token": token}, auth=(who, site.secret))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    members: dict[str, Any] = answer.json()
    return members


def test_the_service_that_a_token_is_for_is_told_about_it(
    site: Sandbox, http: httpx.Client, token: str
) -> None:
    active = told(site, http, token)
    assert active.pop("active") is True
    assert (active["client_id"], active["aud"]) == (f"{REALM}-app", site.audience(REALM))
    assert active["token_type"] == "Bearer"
    metadata = http.get(f"/.well-known/oauth-authorization-server/{REALM}").json()
    assert metadata["introspection_endpoint"] == site.url + PATH


def test_everybody_else_and_every_other_text_gets_the_same_no(
    site: Sandbox, http: httpx.Client, token: str
) -> None:
    head, _, signature = token.rpartition(".")
    broken = f"{head}.{signature[:10]}{'A' if signature[10] != 'A' else 'B'}{signature[11:]}"
    for who, text in ((OTHER, token), (ASKING, broken), (ASKING, "x"), (ASKING, "x" * 17_000)):
        assert told(site, http, text, who) == {"active": False}


@pytest.mark.parametrize(
    "auth", [None, (ASKING, "wrong"), (f"{REALM}-app", ""), (FOREIGN, ""), (REPORTER, ""), ("nobody", "")]
)
def test_only_reporters_of_the_realm_may_ask(
    site: Sandbox, http: httpx.Client, token: str, auth: tuple[str, str] | None
) -> None:
    given = httpx.BasicAuth(auth[0], auth[1] or site.secret) if auth else httpx.Auth()
    answer = http.post(PATH, data={"token": token}, auth=given)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"token=a&token=b", 400),
        (b"hint=x", 400),
        (b"\xff", 400),
        (b"token=" + b"x" * 21_000, 413),
    ],
)
def test_what_is_no_question_is_refused(site: Sandbox, http: httpx.Client, body: bytes, status: int) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert http.post(PATH, content=body, headers=form, auth=(ASKING, site.secret)).status_code == status


def test_the_adoption_meter_sees_who_asks_instead_of_validating(
    site: Sandbox, http: httpx.Client, token: str
) -> None:
    assert told(site, http, token)["active"] is True
    seen = site.stores.observations.seen_audiences(0)
    assert [one.instance for one in seen if one.reporter == ASKING] == ["introspection"]
