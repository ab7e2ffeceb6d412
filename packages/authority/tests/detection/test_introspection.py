"""Introspection by itself: what a token that was never issued leads to."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from sealwright.detection.feed import AlarmFeed
from sealwright.detection.introspection import Introspection, Shown
from sealwright.detection.judging import Judging
from sealwright.detection.memory import (
    MemoryAlarmStore,
    MemoryKeys,
    MemoryLedger,
    MemoryObservationStore,
)
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.service import Detector
from sealwright.errors import Refused
from sealwright.issuer.model import Client, ClientKind

NOW = 1_800_000_000.0
MAIL = "https://mail.example"
CALLER = Client("mail-api", "enterprise", None, (MAIL,), kind=ClientKind.REPORTER)
CLAIMS = {
    "iss": "https://issuer.example/enterprise",
    "sub": "someone",
    "aud": MAIL,
    "client_id": "app",
    "scope": "mail.read",
    "iat": int(NOW) - 10,
    "exp": int(NOW) + 600,
    "jti": "abcdefghijklmnop.7.abcdefghijkl",
    "private": "not for callers",
}


class StoppedClock:
    def now(self) -> float:
        return NOW


class Reader:
    """Reads one token, for one audience."""

    def shown(self, unverified_token: str, realm: str, audiences: tuple[str, ...]) -> Shown:
        if (unverified_token, realm, audiences) != ("signed", "enterprise", (MAIL,)):
            raise Refused("invalid_token", "no")
        return Shown(CLAIMS, "K" * 43, "d" * 64)


def ask(token: str, *, issued: bool) -> tuple[dict[str, object], list[str]]:
    """The answer, and the codes of the alarms that it led to."""
    alarms, clock = MemoryAlarmStore(), StoppedClock()
    ledger, metrics = MemoryLedger(clock), DetectionMetrics(CollectorRegistry())
    judging = Judging(MemoryObservationStore(), alarms, ledger, MemoryKeys(), clock, metrics)

    async def main() -> dict[str, object]:
        detector = Detector(judging, AlarmFeed(alarms), metrics)
        task = asyncio.create_task(detector.run())
        await asyncio.sleep(0)
        asked = Introspection(Reader(), lambda *_: issued, detector, clock)
        told = dict(await asked.introspect(CALLER, token))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return told

    told = asyncio.run(main())
    judging.recover()
    judging.tick()
    return told, [stored.alarm.code for stored in alarms.page(0, 10)]


def test_a_token_that_was_never_issued_is_not_active_and_raises_the_alarm() -> None:
    told, alarms = ask("signed", issued=False)
    assert told == {"active": False}
    assert "never_issued" in alarms


def test_an_issued_token_is_told_without_its_private_claims() -> None:
    told, _ = ask("signed", issued=True)
    assert (told["active"], told["sub"], told["scope"]) == (True, "someone", "mail.read")
    assert "private" not in told


def test_what_the_validator_refuses_is_not_active_and_nobodys_alarm() -> None:
    assert ask("forged", issued=True) == ({"active": False}, [])
