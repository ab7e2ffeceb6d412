"""The contract of `ObservationStore` and `AlarmStore`, on every implementation."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from authority_support.postgres import POSTGRESQL, database
from sealwright.detection.memory import MemoryAlarmStore, MemoryCursors, MemoryObservationStore
from sealwright.detection.model import Alarm, Code, Observation, Receipt, Report, Severity, ValidatorFacts
from sealwright.detection.ports import AlarmStore, CursorStore, ObservationStore
from sealwright.errors import Unavailable
from sealwright.store.detection import (
    SqlAlarmStore,
    SqlCursorStore,
    SqlObservationStore,
    make_detection_tables,
    open_detection,
)

Stores = tuple[ObservationStore, AlarmStore, CursorStore]


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if request.param == "memory":
        yield MemoryObservationStore(), MemoryAlarmStore(), MemoryCursors()
        return
    if request.param == "postgresql":
        with database() as engine:
            make_detection_tables(engine)
            yield SqlObservationStore(engine), SqlAlarmStore(engine), SqlCursorStore(engine)
        return
    engine = open_detection(tmp_path)
    yield SqlObservationStore(engine), SqlAlarmStore(engine), SqlCursorStore(engine)
    engine.dispose()


@pytest.fixture
def reopened(tmp_path: Path) -> Iterator[Callable[[], tuple[SqlObservationStore, SqlAlarmStore]]]:
    """Opens the same database anew each time, as a restart does."""
    engines: list[Engine] = []

    def opened() -> tuple[SqlObservationStore, SqlAlarmStore]:
        engines.append(open_detection(tmp_path))
        return SqlObservationStore(engines[-1]), SqlAlarmStore(engines[-1])

    yield opened
    for engine in engines:
        engine.dispose()


def observation(number: int, **changes: object) -> Observation:
    fields: dict[str, object] = {
        "id": f"{number:032x}",
        "at": 100.5,
        "verdict": "accepted",
        "signature": "valid",
        "digest": f"{number:064x}",
        "kid": "K" * 43,
        "jti": "abcdefghijklmnop.7.abcdefghijkl",
        "iss": "https://issuer.example/enterprise",
        "aud": ("https://a.example", "https://b.example"),
        "iat": 100,
        "exp": 700,
        "client_id": "mail-client",
        "sub_digest": "ab" * 32,
        "tenant": "t1",
        "latitude": 47.5,
        "longitude": -8.25,
    }
    return Observation(**(fields | changes))  # type: ignore[arg-type]


def report(*observations: Observation, instance: str = "i-1", age: float = 1.0) -> Report:
    facts = ValidatorFacts(name="mail-api", instance=instance, mode="async", manifest_age=age)
    return Report(validator=facts, observations=observations)


def alarm(number: int) -> Alarm:
    return Alarm(
        id=f"{number:064x}",
        code=Code.NEVER_ISSUED,
        severity=Severity.CRITICAL,
        raised_at=200.0,
        observed_at=199.5,
        reporter="mail",
        digest=f"{number:064x}",
        kid=None,
        jti=None,
        facts={"reason": "no_place", "aud": ["a"], "index": 3, "iss": None, "lag": 0.5, "late": False},
    )


def test_a_batch_gives_back_exactly_what_was_reported(stores: Stores) -> None:
    sparse = observation(2, kid=None, jti=None, iss=None, aud=(), iat=None, exp=None, tenant=None)
    kept = stores[0].add(150.0, [("mail", report(observation(1), sparse))])
    read = stores[0].batch(kept.batch)
    assert [seen.observation for seen in read] == [observation(1), sparse]
    assert {(seen.reporter, seen.instance, seen.received_at) for seen in read} == {("mail", "i-1", 150.0)}
    assert kept.new == read


def test_a_repeated_id_of_the_same_reporter_is_a_duplicate_and_changes_nothing(stores: Stores) -> None:
    first = stores[0].add(150.0, [("mail", report(observation(1)))])
    again = stores[0].add(151.0, [("mail", report(observation(1, verdict="expired"), observation(2)))])
    assert first.receipts == [Receipt(1, 0)]
    assert again.receipts == [Receipt(1, 1)]
    assert [seen.observation.id for seen in again.new] == [observation(2).id]
    assert stores[0].batch(first.batch)[0].observation == observation(1)


def test_a_repeat_inside_one_group_is_a_duplicate_too(stores: Stores) -> None:
    kept = stores[0].add(
        150.0, [("mail", report(observation(1), observation(1))), ("mail", report(observation(1)))]
    )
    assert kept.receipts == [Receipt(1, 1), Receipt(0, 1)]
    assert len(stores[0].batch(kept.batch)) == 1


def test_another_reporter_cannot_take_an_id_away(stores: Stores) -> None:
    stores[0].add(150.0, [("hostile", report(observation(1, verdict="expired")))])
    kept = stores[0].add(151.0, [("mail", report(observation(1)))])
    assert kept.receipts == [Receipt(1, 0)]
    assert kept.new[0].observation.verdict == "accepted"


def test_a_batch_stays_unjudged_until_marked_and_marking_twice_is_harmless(stores: Stores) -> None:
    first = stores[0].add(150.0, [("mail", report(observation(1)))])
    second = stores[0].add(151.0, [("mail", report(observation(2)))])
    assert stores[0].unjudged() == [(first.batch, 150.0), (second.batch, 151.0)]
    for _ in range(2):
        stores[0].mark_judged([first.batch])
    assert stores[0].unjudged() == [(second.batch, 151.0)]


def test_a_heartbeat_updates_the_validator_and_keeps_no_observation(stores: Stores) -> None:
    stores[0].add(150.0, [("mail", report(age=3.0)), ("mail", report(instance="i-2"))])
    kept = stores[0].add(160.0, [("mail", report(age=9.0))])
    assert kept.receipts == [Receipt(0, 0)]
    heard = [
        (status.validator.instance, status.heard_at, status.validator.manifest_age)
        for status in stores[0].validators()
    ]
    assert heard == [("i-1", 160.0, 9.0), ("i-2", 150.0, 1.0)]


def test_the_last_report_of_an_instance_in_a_group_counts(stores: Stores) -> None:
    stores[0].add(150.0, [("mail", report(age=3.0)), ("mail", report(age=4.0))])
    assert [status.validator.manifest_age for status in stores[0].validators()] == [4.0]


def test_pruning_forgets_old_judged_batches_only(stores: Stores) -> None:
    old = stores[0].add(100.0, [("mail", report(observation(1), observation(2)))])
    waiting = stores[0].add(101.0, [("mail", report(observation(3)))])
    young = stores[0].add(200.0, [("mail", report(observation(4)))])
    stores[0].mark_judged([old.batch, young.batch])
    assert stores[0].prune(150.0) == 2
    assert stores[0].batch(old.batch) == []
    assert len(stores[0].batch(waiting.batch)) == 1
    assert len(stores[0].batch(young.batch)) == 1
    assert stores[0].prune(150.0) == 0


def test_alarms_are_numbered_in_order_and_a_known_id_is_not_told_again(stores: Stores) -> None:
    assert [stored.alarm for stored in stores[1].add([alarm(1), alarm(2)])] == [alarm(1), alarm(2)]
    new = stores[1].add([alarm(2), alarm(3), alarm(3)])
    assert [stored.alarm for stored in new] == [alarm(3)]
    page = stores[1].page(0, 10)
    assert [stored.alarm for stored in page] == [alarm(1), alarm(2), alarm(3)]
    numbers = [stored.seq for stored in page]
    assert numbers == sorted(set(numbers))
    assert stores[1].page(numbers[0], 1) == page[1:2]
    assert stores[1].page(numbers[-1], 10) == []


def test_what_follows_a_batch_stops_before_the_first_unjudged_one(stores: Stores) -> None:
    numbers = [stores[0].add(150.0, [("mail", report(observation(n)))]).batch for n in range(4)]
    stores[0].mark_judged([numbers[0], numbers[1], numbers[3]])
    assert [number for number, _ in stores[0].after(0, 10)] == numbers[:2]
    assert [number for number, _ in stores[0].after(0, 1)] == numbers[:1]
    assert stores[0].after(numbers[0], 10)[0][1] == stores[0].batch(numbers[1])
    stores[0].mark_judged([numbers[2]])
    assert [number for number, _ in stores[0].after(numbers[1], 10)] == numbers[2:]


def test_each_reader_of_the_feed_has_its_own_cursor(stores: Stores) -> None:
    assert stores[2].cursor("siem") == 0
    stores[2].move("siem", 7)
    stores[2].move("siem", 9)
    assert (stores[2].cursor("siem"), stores[2].cursor("syslog")) == (9, 0)


def test_everything_survives_a_restart(
    reopened: Callable[[], tuple[SqlObservationStore, SqlAlarmStore]],
) -> None:
    observations, alarms = reopened()
    kept = observations.add(150.0, [("mail", report(observation(1)))])
    stored = alarms.add([alarm(1)])
    observations, alarms = reopened()
    assert observations.unjudged() == [(kept.batch, 150.0)]
    assert observations.batch(kept.batch) == kept.new
    assert observations.add(151.0, [("mail", report(observation(1)))]).receipts == [Receipt(0, 1)]
    assert alarms.page(0, 10) == stored
    assert alarms.add([alarm(1)]) == []


def test_a_database_that_cannot_be_written_is_unavailable_and_keeps_nothing(
    reopened: Callable[[], tuple[SqlObservationStore, SqlAlarmStore]], tmp_path: Path
) -> None:
    observations, alarms = reopened()
    engine = open_detection(tmp_path)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE observation")
        connection.exec_driver_sql("DROP TABLE alarm")
    engine.dispose()
    with pytest.raises(Unavailable):
        observations.add(150.0, [("mail", report(observation(1)))])
    with pytest.raises(Unavailable):
        alarms.add([alarm(1)])
    assert observations.unjudged() == []
