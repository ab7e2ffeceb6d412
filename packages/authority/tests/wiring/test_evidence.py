"""What insiders do on a real site becomes an alarm, from evidence that is not the authority's own."""

from __future__ import annotations

import asyncio
import base64
import secrets
import sqlite3
from pathlib import Path

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from authority_support.site import running
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.config.model import DetectionConfig, WitnessConfig
from sealwright.detection.model import Alarm
from sealwright.drills.sandbox import Sandbox
from sealwright_signer.client import Connection
from sealwright_validate.cosignature import cosigner_key_id

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]
INSIDERS = {"issued_without_grant", "signer_count_mismatch", "ledger_rolled_back", "checkpoint_unwitnessed"}


class Later:
    """A clock ahead of another."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def now(self) -> float:
        return self._clock.now() + self._seconds


def insiders(site: Sandbox, config: Config | None = None, later: float = 0.0) -> list[Alarm]:
    """What a search adds to what was found of insiders."""
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    from sealwright.wiring.search import search

    before = {stored.seq for stored in site.stores.alarms.page(0, 1_000)}
    search(config or site.config, Later(site.clock, later))
    new = [stored.alarm for stored in site.stores.alarms.page(0, 1_000) if stored.seq not in before]
    return [alarm for alarm in new if alarm.code in INSIDERS]


def copied(site: Sandbox, to: Path) -> None:
    with sqlite3.connect(site.state / "sealwright.db") as live, sqlite3.connect(to) as copy:
        live.backup(copy)


def put_back(site: Sandbox, copy: Path) -> None:
    for name in ("sealwright.db-wal", "sealwright.db-shm"):
        (site.state / name).unlink(missing_ok=True)
    copy.replace(site.state / "sealwright.db")


async def sign_past_the_authority(site: Sandbox, kid: str) -> None:
    """Have a token signed, and tell the signer that its leaf is durable, which it is not."""
    assert site.signer is not None
    connection = await Connection.open(site.signer.socket_path)
    hello = await connection.hello()
    await connection.ack(hello.size)
    audience = [site.audience("enterprise")]
    request = ["enterprise", kid, "at+jwt", "enterprise-app", "minister", audience, "mail.read", 600]
    results, batch = await connection.sign([[*request, secrets.token_hex(32), None]])
    assert isinstance(results[0], str)
    assert batch is not None
    await connection.ack(batch.first + len(batch.leaves))
    await connection.close()


def a_witness_that_nobody_asks(file: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    encoded = base64.b64encode(bytes([4]) + raw).decode()
    vkey = f"w.example+{cosigner_key_id('w.example', 4, raw).hex()}+{encoded}"
    file.write_text(f"witness w {vkey} http://127.0.0.1:9\nquorum w\n")


def test_what_insiders_do_to_a_site_is_found_and_its_ordinary_life_is_not(tmp_path: Path) -> None:
    with running(detection=DetectionConfig(every=3_600)) as site:
        kid = jwt.get_unverified_header(site.token())["kid"]
        assert insiders(site) == []
        copied(site, tmp_path / "copy.db")
        for _ in range(3):
            site.token()
        assert insiders(site) == []
        site.kill_authority()

        asyncio.run(sign_past_the_authority(site, kid))
        [count] = insiders(site)
        assert (count.code, count.kid, count.facts["count"]) == ("signer_count_mismatch", kid, 1)

        put_back(site, tmp_path / "copy.db")
        rolled = [alarm.code for alarm in insiders(site)]
        assert rolled == ["ledger_rolled_back"]

        a_witness_that_nobody_asks(tmp_path / "policy")
        witnessed = WitnessConfig(policy=str(tmp_path / "policy"))
        config = msgspec.structs.replace(site.config, witness=witnessed)
        assert insiders(site, config) == []
        assert [alarm.code for alarm in insiders(site, config, later=7_300.0)] == ["checkpoint_unwitnessed"]
