"""A key that a validator trusts and that was never ours is found on arrival, whatever is reported next."""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry

from sealwright.detection.judging import Judging
from sealwright.detection.memory import (
    MemoryAlarmStore,
    MemoryKeys,
    MemoryLedger,
    MemoryObservationStore,
    SteppedClock,
)
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import KeyFacts, KeyStatus, Report, ValidatorFacts

OURS, FOREIGN = "K" * 43, "F" * 43
TRUSTING = ValidatorFacts(name="mail-api", instance="i-1", keys=(OURS, FOREIGN))
HIDING = msgspec.structs.replace(TRUSTING, keys=(OURS,))


class World:
    """Judging on the ports in memory, with one key of ours."""

    def __init__(self) -> None:
        clock = SteppedClock()
        now = clock.now()
        key = KeyFacts(
            kid=OURS,
            realm="enterprise",
            issuer="https://issuer.example/enterprise",
            audiences=("https://mail.example",),
            use_from=now - 1_000,
            use_until=now + 1_000,
            verify_until=now + 4_600,
            max_lifetime=3_600,
            status=KeyStatus.ACTIVE,
        )
        self.alarms = MemoryAlarmStore()
        stores = (MemoryObservationStore(), self.alarms, MemoryLedger(clock), MemoryKeys({OURS: key}))
        self.judging = Judging(*stores, clock, DetectionMetrics(CollectorRegistry()))

    def report(self, *told: ValidatorFacts) -> None:
        kept = self.judging.keep([("mail", Report(validator=one)) for one in told])
        self.judging.judge(kept.batch, kept.new)

    def raised(self) -> list[tuple[str, str | None, str]]:
        return [(one.alarm.code, one.alarm.kid, one.alarm.reporter) for one in self.alarms.page(0, 100)]


def test_the_next_report_of_the_same_validator_hides_nothing() -> None:
    world = World()
    world.report(TRUSTING, HIDING)
    world.report(HIDING, TRUSTING)
    assert world.raised() == [("cached_key_unknown", FOREIGN, "mail")]


def test_nothing_is_lost_while_alarms_cannot_be_kept() -> None:
    world = World()
    world.alarms.down = True
    world.report(TRUSTING)
    world.report(HIDING)
    world.alarms.down = False
    world.judging.tick()
    assert world.raised() == [("cached_key_unknown", FOREIGN, "mail")]


def test_one_report_raises_a_bounded_number_of_alarms() -> None:
    world = World()
    many = tuple(f"{number:043}" for number in range(200))
    world.report(msgspec.structs.replace(TRUSTING, keys=many))
    assert len(world.raised()) == 8
