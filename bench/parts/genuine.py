"""No false alarm: a million genuine tokens, reported late, twice and out of order, a few forged among them.

The detector's own judging and its SQLite store, without HTTP; the ledger is in memory, as full as it is.
A false alarm, or a forged token without one, makes the run worthless, and it says so.
"""

import hashlib
import random
import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry

from harness.model import Outcome, Part, Setting, Table, WrongAnswer
from sealwright.clock import SystemClock
from sealwright.detection.judging import Judging
from sealwright.detection.memory import MemoryKeys, MemoryLedger
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import (
    KeyFacts,
    KeyStatus,
    LeafFacts,
    Observation,
    Place,
    Report,
    ValidatorFacts,
)
from sealwright.store.detection import SqlAlarmStore, SqlObservationStore, open_detection

TOKENS, QUICK_TOKENS = 1_000_000, 20_000
FORGED = 10
REPORT = 1_000
WINDOW = 20  # reports that change places with one another
TWICE, LATE = 0.1, 0.05
LOG, KEY, AUDIENCE, ISSUER = "abcdefghijklmnop", "K" * 43, "mail", "https://issuer.example"
FACTS = ValidatorFacts(name="bench", instance="b")


def run(setting: Setting) -> Outcome:
    """Report everything and count the alarms."""
    count = QUICK_TOKENS if setting.quick else TOKENS
    chance, now = random.Random(558), time.time()
    clock = SystemClock()
    ledger, keys = MemoryLedger(clock), MemoryKeys({KEY: _key(now)})
    engine = open_detection(setting.scratch)
    alarms = SqlAlarmStore(engine)
    metrics = DetectionMetrics(CollectorRegistry())
    judging = Judging(SqlObservationStore(engine), alarms, ledger, keys, clock, metrics)
    setting.say(f"{count:,} genuine tokens")
    seen = [_observation(number, now) for number in range(count)]
    for number, one in enumerate(seen):
        ledger.put(Place(LOG, number), LeafFacts(1, one.digest, KEY))
    forged = [_observation(count + number, now) for number in range(FORGED)]
    reports = list(_disordered(_reports([*seen, *forged], chance), chance))
    started, own = time.perf_counter(), time.process_time()
    for report in reports:
        kept = judging.keep([("mail", report)])
        judging.judge(kept.batch, kept.new)
    judging.tick()
    wall, cpu = time.perf_counter() - started, time.process_time() - own
    _require(alarms, {one.digest for one in forged})
    engine.dispose()
    sent = sum(len(report.observations) for report in reports)
    columns = ("genuine", "sent", "forged", "false alarms", "observations/s", "CPU us each")
    row = (count, sent, FORGED, 0, sent / wall, cpu / sent * 1e6)
    return Outcome((Table("Genuine tokens, late, twice and out of order", columns, (row,)),))


def _require(alarms: SqlAlarmStore, forged: set[str]) -> None:
    raised = {stored.alarm.digest for stored in alarms.page(0, 1_000)}
    if raised != forged:
        raise WrongAnswer(f"{len(raised - forged)} false alarms, {len(forged - raised)} forgeries missed")


def _observation(number: int, now: float) -> Observation:
    return Observation(
        id=f"{number:032x}",
        at=now,
        verdict="accepted",
        signature="valid",
        digest=hashlib.sha256(b"%d" % number).hexdigest(),
        kid=KEY,
        jti=f"{LOG}.{number}.abcdefghijkl",
        iss=ISSUER,
        aud=(AUDIENCE,),
        iat=int(now) - 5,
        exp=int(now) + 595,
    )


def _reports(seen: list[Observation], chance: random.Random) -> list[Report]:
    chance.shuffle(seen)
    starts = range(0, len(seen), REPORT)
    return [Report(validator=FACTS, observations=tuple(seen[at : at + REPORT])) for at in starts]


def _disordered(reports: Sequence[Report], chance: random.Random) -> Iterator[Report]:
    """Windows change their order; some reports come again; some come at the very end."""
    late: list[Report] = []
    for at in range(0, len(reports), WINDOW):
        window = list(reports[at : at + WINDOW])
        chance.shuffle(window)
        for report in window:
            if chance.random() < LATE:
                late.append(report)
                continue
            yield report
            if chance.random() < TWICE:
                yield report
    yield from late


def _key(now: float) -> KeyFacts:
    return KeyFacts(
        kid=KEY,
        realm="enterprise",
        issuer=ISSUER,
        audiences=(AUDIENCE,),
        use_from=now - 3_600,
        use_until=now + 3_600,
        verify_until=now + 7_200,
        max_lifetime=3_600,
        status=KeyStatus.ACTIVE,
    )


PART = Part("genuine", "No false alarm in a million genuine tokens", run)
