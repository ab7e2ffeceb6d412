"""A refresh token is used twice: its family is found, a rule suggests its end, and relying parties refuse it.

The tokens come from the real signer and have real leaves; no grant of the product makes derived tokens, so
what a front end with refresh tokens would have issued is issued in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from authority_support.answers import until
from authority_support.site import running
from sealwright.cli.main import main
from sealwright.config.model import DetectionConfig, ManifestConfig
from sealwright.drills.insider import Wanted, issue
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright_validate import Expect, Refused, Trust, Validator
from sealwright_validate.signals import Signals

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]
REFRESH = "refresh-token-1"
FAMILY = ("first", "second", "grandchild")


@pytest.fixture(scope="module")
def site() -> Iterator[Sandbox]:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    quiet, slow = DetectionConfig(every=3_600), ManifestConfig(life=600)
    with running(detection=quiet, manifest=slow) as made:
        yield made


async def _issued(site: Sandbox) -> dict[str, str]:
    """Two tokens for one refresh token, one derived from the first, and one of another family."""
    kid = jwt.get_unverified_header(site.token("enterprise"))["kid"]
    site.stop_authority()

    def wanted(subject: str, parent: str | None, grant: str = "refresh_token") -> Wanted:
        further = {"parent": parent} if parent is not None else None
        return Wanted("enterprise-app", subject, site.audience("enterprise"), grant=grant, further=further)

    first, second, other = await issue(
        site, kid, [wanted("ann", REFRESH), wanted("ann", REFRESH), wanted("bob", "refresh-token-2")]
    )
    jti = jwt.decode(first, options={"verify_signature": False})["jti"]
    [grandchild] = await issue(site, kid, [wanted("ann", jti, "token_exchange")])
    return {"first": first, "second": second, "grandchild": grandchild, "other": other}


@pytest.fixture(scope="module")
def tokens(site: Sandbox) -> dict[str, str]:
    issued = asyncio.run(_issued(site))
    site.start_authority()
    site.wait_ready()
    return issued


@pytest.fixture(scope="module")
def admin(site: Sandbox, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    assert tokens, "the authority runs again"
    transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://admin", timeout=120) as client:
        yield client


def verdict(site: Sandbox, validator: Validator, token: str) -> str:
    try:
        validator.validate(token, Expect(audience=site.audience("enterprise"), realm="enterprise"))
    except Refused as refusal:
        return str(refusal.reason.value)
    return "accepted"


def suggestion(admin: httpx.Client) -> dict[str, Any] | None:
    for one in admin.get("/admin/responses").json()["responses"]:
        if one["decision"]["action"] == "end_family":
            return dict(one)
    return None


def test_a_family_whose_refresh_token_was_used_twice_is_ended_to_its_last_token(
    site: Sandbox,
    admin: httpx.Client,
    tokens: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signals = Signals(site.url, REPORTER, site.secret, state_file=tmp_path / "signals.jsonl")
    validator = Validator(trust=Trust.sealwright(site.url, root=site.root), signals=signals)
    try:
        validator.start()
        until(lambda: validator.health().ready and site.stores.streams.streams())
        assert {name: verdict(site, validator, token) for name, token in tokens.items()} == dict.fromkeys(
            tokens, "accepted"
        )
        assert admin.post("/admin/search").json()["searched"]
        found = until(lambda: suggestion(admin))
        assert (found["decision"]["code"], found["decision"]["subject"]) == ("family_reused", REFRESH)
        assert (found["outcome"], found["preview"]["live_tokens"]) == ("suggested", len(FAMILY))
        apply = ["respond", "apply", found["id"], "--state", str(site.state)]
        assert main(apply) == 0
        assert "would do (add --apply): end_family" in capsys.readouterr().out
        assert verdict(site, validator, tokens["first"]) == "accepted", "dry"
        assert main([*apply, "--apply"]) == 0
        until(lambda: all(verdict(site, validator, tokens[name]) == "token_revoked" for name in FAMILY))
        assert verdict(site, validator, tokens["other"]) == "accepted"
        entries = admin.get("/admin/audit", params={"limit": 1_000}).json()["entries"]
        assert [one["subject"] for one in entries if one["action"] == "end_family"] == [REFRESH]
        assert main([*apply, "--apply"]) == 2, "once"
    finally:
        validator.close()
