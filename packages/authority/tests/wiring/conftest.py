"""One running site for everything about an alarm and its answer, in one worker.

Its rules may revoke a stolen key; a relying party has reported a token that has our signature and no leaf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from msgspec.structs import replace

from authority_support.answers import SIGNALS, SSF_SCOPES, acted, report_forged, until
from authority_support.site import running
from sealwright.config.model import (
    AlarmsConfig,
    Config,
    DetectionConfig,
    ManifestConfig,
    ResponseConfig,
    SignalsConfig,
)
from sealwright.drills.sandbox import REPORTER, Sandbox


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    file = tmp_path_factory.mktemp("alarms") / "ocsf.jsonl"
    rules = ResponseConfig(revoke_stolen_key="act", strict_while_forged="suggest")
    # Nothing here may happen by itself: no search at its time, no manifest that expires under load.
    quiet = DetectionConfig(every=3_600)
    slow = ManifestConfig(life=600)
    realms = dict(Config().realms)
    consumer = realms["consumer"]
    realms["consumer"] = replace(
        consumer, audiences=(*consumer.audiences, SIGNALS), scopes=(*consumer.scopes, *SSF_SCOPES)
    )
    change: dict[str, Any] = {"signals": SignalsConfig(audience=SIGNALS), "realms": realms}
    alarms = AlarmsConfig(file=str(file))
    with running(response=rules, alarms=alarms, detection=quiet, manifest=slow, **change) as made:
        yield made


@pytest.fixture(scope="session")
def admin(site: Sandbox) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://admin", timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def receiver(site: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, auth=(REPORTER, site.secret), timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def attack(site: Sandbox, admin: httpx.Client, receiver: httpx.Client) -> dict[str, Any]:
    """A receiver listens; a relying party reports a token that has our signature and no leaf."""
    stream = receiver.post("/ssf/stream", json={"delivery": {"method": "urn:ietf:rfc:8936"}}).json()
    kid = jwt.get_unverified_header(site.token())["kid"]
    digest = report_forged(site, receiver, kid)
    until(lambda: acted(admin))
    return {"stream": stream, "kid": kid, "digest": digest}
