"""From a report to an alarm: durable first, judged at once, told once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import StringIO
from itertools import count
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from sealwright.detection.feed import AlarmFeed
from sealwright.detection.inbox import GROUP_MAX, Inbox
from sealwright.detection.judging import STALLED_AFTER, Judging
from sealwright.detection.memory import (
    MemoryAlarmStore,
    MemoryKeys,
    MemoryLedger,
    MemoryObservationStore,
    MemorySink,
    SteppedClock,
)
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import (
    Code,
    KeyFacts,
    KeyStatus,
    LeafFacts,
    Observation,
    Place,
    Planted,
    Receipt,
    Report,
    StoredAlarm,
    ValidatorFacts,
)
from sealwright.detection.service import Detector
from sealwright.detection.sinks import JsonLines
from sealwright.errors import Unavailable

LOG = "abcdefghijklmnop"
KID = "K" * 43
ISSUER = "https://issuer.example/enterprise"
FACTS = ValidatorFacts(name="mail-api", instance="i-1")
numbers = count()


class World:
    """A detector on the ports in memory, and a ledger of one log with 10 tokens."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.observations = MemoryObservationStore()
        self.alarms = MemoryAlarmStore()
        self.ledger = MemoryLedger(self.clock)
        self.sink = MemorySink()
        self.canaries = Planted()
        self.registry = CollectorRegistry()
        self.metrics = DetectionMetrics(self.registry)
        now = self.clock.now()
        self.key = KeyFacts(
            kid=KID,
            realm="enterprise",
            issuer=ISSUER,
            audiences=("https://mail.example",),
            use_from=now - 1_000,
            use_until=now + 1_000,
            verify_until=now + 4_600,
            max_lifetime=3_600,
            status=KeyStatus.ACTIVE,
        )
        self.keys = MemoryKeys({KID: self.key})
        for index in range(10):
            self.issue(index)

    def issue(self, index: int) -> None:
        self.ledger.put(Place(LOG, index), LeafFacts(1, f"{index:064x}", KID))

    def judging(self) -> Judging:
        parts = (self.observations, self.alarms, self.ledger, self.keys, self.clock, self.metrics)
        return Judging(*parts, sinks=[self.sink], canaries=self)

    def planted(self) -> Planted:
        return self.canaries

    def token(self, index: int, **changes: Any) -> Observation:
        now = int(self.clock.now())
        fields: dict[str, Any] = {
            "id": f"{next(numbers):032x}",
            "at": self.clock.now(),
            "verdict": "accepted",
            "signature": "valid",
            "digest": f"{index:064x}",
            "kid": KID,
            "jti": f"{LOG}.{index}.abcdefghijkl",
            "iss": ISSUER,
            "aud": ("https://mail.example",),
            "iat": now - 10,
            "exp": now + 600,
        }
        return Observation(**(fields | changes))

    def codes(self) -> list[str]:
        return [stored.alarm.code for stored in self.alarms.page(0, 1_000)]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def report(*observations: Observation) -> Report:
    return Report(validator=FACTS, observations=observations)


def running(
    world: World, act: Callable[[Detector, AlarmFeed], Awaitable[None]], inbox: Inbox | None = None
) -> None:
    """Run a detector while `act` happens."""

    async def main() -> None:
        feed = AlarmFeed(world.alarms)
        detector = Detector(world.judging(), feed, world.metrics, inbox)
        task = asyncio.create_task(detector.run())
        await asyncio.sleep(0)
        try:
            await act(detector, feed)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


async def first_alarm(feed: AlarmFeed) -> list[StoredAlarm]:
    async with asyncio.timeout(10):
        while True:
            if page := await feed.next_page(0, 10, 5):
                return page


@pytest.fixture
def world() -> World:
    return World()


def test_a_forged_token_raises_one_alarm_however_often_it_is_seen(world: World) -> None:
    async def act(detector: Detector, feed: AlarmFeed) -> None:
        forged = [world.token(99) for _ in range(5)]
        assert await detector.observe("mail", report(*forged)) == Receipt(5, 0)
        assert await detector.observe("web", report(world.token(99))) == Receipt(1, 0)
        await first_alarm(feed)

    running(world, act)
    assert world.codes() == [Code.NEVER_ISSUED]
    assert len(world.sink.told) == 1
    assert world.metric("sealwright_alarms_total", code="never_issued", severity="critical") == 1
    assert world.metric("sealwright_alarm_seconds_count") == 1


def test_a_slow_client_of_a_revoked_key_is_one_alarm_and_no_flood(world: World) -> None:
    now = world.clock.now()
    world.keys.keys[KID] = msgspec.structs.replace(world.key, status=KeyStatus.REVOKED, revoked_at=now - 100)
    judging = world.judging()
    for _ in range(3):
        slow = [world.token(index, verdict="key_revoked") for index in range(10)]
        kept = judging.keep([("mail", report(*slow)), ("web", report(world.token(1, verdict="key_revoked")))])
        judging.judge(kept.batch, kept.new)
    assert world.codes() == [Code.REVOKED_KEY_PRESENTED] * 2
    raised = [stored.alarm for stored in world.alarms.page(0, 10)]
    assert {(one.kid, one.reporter) for one in raised} == {(KID, "mail"), (KID, "web")}


@pytest.mark.parametrize("verdict", ["accepted", "unknown_key", "expired"])
def test_a_canary_is_found_on_arrival_whatever_the_verdict(world: World, verdict: str) -> None:
    world.canaries = Planted(frozenset({f"{3:064x}"}), frozenset({"C" * 43}))
    judging = world.judging()
    signature = "valid" if verdict == "accepted" else "unverified"
    token = world.token(3, verdict=verdict, signature=signature)
    by_key = world.token(98, kid="C" * 43, verdict="unknown_key", signature="unverified")
    beside = world.token(4, verdict=verdict, signature=signature)
    for _ in range(2):
        kept = judging.keep([("mail", report(token, by_key, beside))])
        judging.judge(kept.batch, kept.new)
    told = [(one.alarm.code, one.alarm.digest) for one in world.sink.told]
    assert told == [("canary_token", f"{3:064x}"), ("canary_key", f"{98:064x}")]


def test_a_canary_is_an_alarm_even_while_the_ledger_cannot_be_asked(world: World) -> None:
    world.canaries = Planted(frozenset({f"{3:064x}"}))
    judging = world.judging()
    world.ledger.lag = 5.0
    kept = judging.keep([("mail", report(world.token(3), world.token(99)))])
    judging.judge(kept.batch, kept.new)
    assert world.codes() == [Code.CANARY_TOKEN]
    world.ledger.lag = 0.0
    judging.tick()
    assert world.codes() == [Code.CANARY_TOKEN, Code.NEVER_ISSUED]


def test_genuine_tokens_raise_nothing(world: World) -> None:
    async def act(detector: Detector, feed: AlarmFeed) -> None:
        await detector.observe("mail", report(*[world.token(index) for index in range(10)]))
        await detector.observe("mail", report(world.token(99)))
        await first_alarm(feed)  # the batch before is judged by then

    running(world, act)
    assert world.codes() == [Code.NEVER_ISSUED]
    assert world.metric("sealwright_observations_total", verdict="accepted") == 11


def test_the_same_report_twice_is_counted_once(world: World) -> None:
    async def act(detector: Detector, feed: AlarmFeed) -> None:
        once = report(world.token(1), world.token(2))
        assert await detector.observe("mail", once) == Receipt(2, 0)
        assert await detector.observe("mail", once) == Receipt(0, 2)

    running(world, act)
    assert world.metric("sealwright_observations_total", verdict="accepted") == 2
    assert world.metric("sealwright_observation_duplicates_total") == 2


def test_header_attacks_are_counted_by_known_reason_and_raise_nothing(world: World) -> None:
    judging = world.judging()
    attacks = [("signature_invalid", 2), ("a_reason_made_up_by_a_reporter", 3)]
    for reason, times in attacks:
        kept = judging.keep(
            [
                (
                    "mail",
                    report(*[world.token(99, verdict=reason, signature="unverified") for _ in range(times)]),
                )
            ]
        )
        judging.judge(kept.batch, kept.new)
    assert world.codes() == []
    assert world.metric("sealwright_header_attacks_total", reason="signature_invalid") == 2
    assert world.metric("sealwright_header_attacks_total", reason="other") == 3


def test_what_was_kept_before_a_crash_is_judged_after_it(world: World) -> None:
    world.judging().keep([("mail", report(world.token(99)))])
    assert world.codes() == []
    after = world.judging()
    after.recover()
    assert [stored.alarm.code for stored in after.tick()] == [Code.NEVER_ISSUED]
    assert world.observations.unjudged() == []


def test_judging_a_batch_twice_tells_nobody_twice(world: World) -> None:
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(99)))])
    assert len(judging.judge(kept.batch, kept.new)) == 1
    assert judging.judge(kept.batch, kept.new) == []
    assert len(world.sink.told) == 1


def test_a_ledger_view_that_lags_delays_the_alarm_and_invents_none(world: World) -> None:
    world.ledger.lag = 3.0
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(10), world.token(99)))])
    assert judging.judge(kept.batch, kept.new) == []
    assert judging.tick() == []
    world.issue(10)  # the leaf of the genuine one comes into sight late
    world.clock.time += 3.5
    assert [stored.alarm.jti for stored in judging.tick()] == [f"{LOG}.99.abcdefghijkl"]
    assert world.observations.unjudged() == []


@pytest.mark.parametrize("part", ["ledger", "alarms"])
def test_an_outage_while_judging_loses_no_alarm(world: World, part: str) -> None:
    broken: MemoryLedger | MemoryAlarmStore = world.ledger if part == "ledger" else world.alarms
    broken.down = True
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(99)))])
    assert judging.judge(kept.batch, kept.new) == []
    assert judging.tick() == []
    broken.down = False
    assert [stored.alarm.code for stored in judging.tick()] == [Code.NEVER_ISSUED]
    assert world.metric("sealwright_detection_failures_total", part="judging") == 2


def test_judging_that_stands_still_is_an_alarm_of_its_own(world: World) -> None:
    world.ledger.down = True
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(1)))])
    judging.judge(kept.batch, kept.new)
    world.clock.time += STALLED_AFTER - 1
    assert judging.tick() == []
    world.clock.time += 1
    assert [stored.alarm.code for stored in judging.tick()] == [Code.DETECTION_STALLED]
    assert judging.tick() == []


def test_a_sink_that_fails_holds_nothing_back(world: World) -> None:
    world.sink.down = True
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(99)))])
    assert len(judging.judge(kept.batch, kept.new)) == 1
    assert world.metric("sealwright_detection_failures_total", part="sink") == 1


def test_a_report_that_cannot_be_kept_is_not_receipted(world: World) -> None:
    async def act(detector: Detector, feed: AlarmFeed) -> None:
        world.observations.down = True
        with pytest.raises(Unavailable, match="store_unavailable"):
            await detector.observe("mail", report(world.token(1)))
        world.observations.down = False
        assert await detector.observe("mail", report(world.token(1))) == Receipt(1, 0)

    running(world, act)


def test_a_detector_that_does_not_run_takes_no_reports(world: World) -> None:
    async def main() -> None:
        detector = Detector(world.judging(), AlarmFeed(world.alarms), world.metrics)
        with pytest.raises(Unavailable, match="detection_stopped"):
            await detector.observe("mail", report())

    asyncio.run(main())


def test_a_stop_answers_everyone_who_still_waits(world: World) -> None:
    async def main() -> None:
        detector = Detector(world.judging(), AlarmFeed(world.alarms), world.metrics)
        task = asyncio.create_task(detector.run())
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(detector.observe("mail", report(world.token(1)))) for _ in range(5)]
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.gather(task, return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)

    asyncio.run(main())


def test_one_reporters_flood_leaves_room_for_the_others(world: World) -> None:
    async def main() -> None:
        inbox = Inbox(queue_max=20, reporter_max=10)
        inbox.put("flood", report(*[world.token(index) for index in range(10)]))
        with pytest.raises(Unavailable, match="reporter_too_fast"):
            inbox.put("flood", report())
        inbox.put("calm", report(*[world.token(index) for index in range(10)]))
        with pytest.raises(Unavailable, match="detection_busy"):
            inbox.put("third", report())
        assert [waiting.reporter for waiting in await inbox.take(1)] == ["flood", "calm"]
        assert inbox.weight == 0
        inbox.put("flood", report())

    asyncio.run(main())


def test_a_commit_takes_up_a_bounded_group_and_never_divides_a_report() -> None:
    async def main() -> None:
        world = World()
        thousand = report(*[world.token(1) for _ in range(1_000)])
        inbox = Inbox()
        for index in range(GROUP_MAX // 1_000 + 1):
            inbox.put(f"reporter-{index}", thousand)
        assert len(await inbox.take(1)) == GROUP_MAX // 1_000
        assert len(await inbox.take(1)) == 1
        assert await inbox.take(0.001) == []

    asyncio.run(main())


def test_an_alarm_is_one_line_of_json(world: World) -> None:
    stream = StringIO()
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(99)))])
    (stored,) = judging.judge(kept.batch, kept.new)
    JsonLines(stream).tell(stored)
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert told["event"] == "alarm"
    assert told["code"] == "never_issued"
    assert told["facts"]["reason"] == "beyond_end"
    assert told["facts"]["size"] == 10


def test_a_closed_log_is_told_as_unavailable(world: World) -> None:
    stream = StringIO()
    stream.close()
    judging = world.judging()
    kept = judging.keep([("mail", report(world.token(99)))])
    (stored,) = judging.judge(kept.batch, kept.new)
    with pytest.raises(Unavailable):
        JsonLines(stream).tell(stored)
