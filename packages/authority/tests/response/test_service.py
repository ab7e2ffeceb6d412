"""From an alarm to an act: previewed, audited before it is done, kept with its outcome, never lost."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from authority_support.postgres import POSTGRESQL, database
from sealwright.admin.memory import MemoryAuditStore, MemoryStatements
from sealwright.admin.model import Action
from sealwright.admin.service import Auditor
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.memory import MemoryAlarmStore, MemoryCursors, SteppedClock
from sealwright.detection.model import Alarm, Severity
from sealwright.errors import Refused, Unavailable
from sealwright.response.memory import MemoryEyes, MemoryHands, MemoryResponseStore
from sealwright.response.model import Decision, Mode, Outcome, Preview, Response, Rule
from sealwright.response.ports import ResponseStore
from sealwright.response.rules import KEY_STOLEN
from sealwright.response.service import Responder
from sealwright.store.detection import make_detection_tables, open_detection
from sealwright.store.response import SqlResponseStore


@pytest.fixture(params=["memory", "sqlite", POSTGRESQL])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResponseStore]:
    if request.param == "memory":
        yield MemoryResponseStore()
        return
    if request.param == "postgresql":
        with database() as engine:
            make_detection_tables(engine)
            yield SqlResponseStore(engine)
        return
    engine = open_detection(tmp_path)
    yield SqlResponseStore(engine)
    engine.dispose()


class Desk:
    """A responder on the ports in memory."""

    def __init__(self, store: ResponseStore, mode: Mode = Mode.ACT) -> None:
        self.clock = SteppedClock()
        self.alarms = MemoryAlarmStore()
        self.audit = MemoryAuditStore()
        self.hands = MemoryHands()
        self.statements = MemoryStatements()
        self.store = store
        rule = Rule(
            name="revoke",
            codes=KEY_STOLEN,
            least_severity=Severity.CRITICAL,
            action=Action.REVOKE_KEY,
            mode=mode,
        )
        auditor = Auditor(self.audit, self.clock, self.statements)
        feed, eyes = AlarmFeed(self.alarms), MemoryEyes({f"key-{n}": "enterprise" for n in range(9)})
        self.responder = Responder(
            [rule], feed, MemoryCursors(), store, eyes, self.hands, auditor, self.clock
        )

    def alarm(self, number: int) -> None:
        now = self.clock.now()
        self.alarms.add(
            [
                Alarm(
                    id=f"{number:064x}",
                    code="never_issued",
                    severity=Severity.CRITICAL,
                    raised_at=now,
                    observed_at=now,
                    reporter="mail",
                    digest=f"{number:064x}",
                    kid=f"key-{number}",
                    jti=None,
                    facts={},
                )
            ]
        )

    def outcomes(self) -> list[Outcome]:
        return [response.outcome for response in self.store.since(0)]


def test_a_stolen_key_is_revoked_with_a_preview_and_an_audit_leaf(store: ResponseStore) -> None:
    desk = Desk(store)
    desk.alarm(1)
    (response,) = asyncio.run(desk.responder.step(0))
    assert desk.hands.done == [(Action.REVOKE_KEY, "key-1", "alarm never_issued")]
    assert response.outcome is Outcome.ACTED
    assert response.preview.live_tokens == 10
    entry = desk.audit.page(0, 10)[0]
    assert (entry.actor, entry.action, entry.subject) == ("rule:revoke", "revoke_key", "key-1")
    assert desk.statements.made == [("audit", entry.digest)]
    assert store.since(0) == [response]


def test_a_suggestion_does_nothing_but_is_kept(store: ResponseStore) -> None:
    desk = Desk(store, Mode.SUGGEST)
    desk.alarm(1)
    asyncio.run(desk.responder.step(0))
    assert desk.hands.done == []
    assert desk.outcomes() == [Outcome.SUGGESTED]
    assert desk.audit.page(0, 10) == []


def test_a_detector_gone_wrong_is_stopped_by_the_limit(store: ResponseStore) -> None:
    desk = Desk(store)
    for number in range(5):
        desk.alarm(number)
    asyncio.run(desk.responder.step(0))
    assert len(desk.hands.done) == 2
    assert sorted(desk.outcomes()) == sorted([Outcome.ACTED] * 2 + [Outcome.LIMITED] * 3)


@pytest.mark.parametrize(
    "failure", [Refused("unknown_key", "No such key."), Unavailable("no_signer", "Later.")]
)
def test_an_act_that_fails_is_kept_as_failed_with_its_reason(store: ResponseStore, failure: Refused) -> None:
    desk = Desk(store)
    desk.hands.failure = failure
    desk.alarm(1)
    (response,) = asyncio.run(desk.responder.step(0))
    assert (response.outcome, response.detail) == (Outcome.FAILED, failure.code)


def test_what_cannot_be_audited_is_not_done_and_is_done_later(store: ResponseStore) -> None:
    desk = Desk(store)
    desk.audit.down = True
    desk.alarm(1)
    with pytest.raises(Unavailable):
        asyncio.run(desk.responder.step(0))
    assert desk.hands.done == []
    desk.audit.down = False
    asyncio.run(desk.responder.step(0))
    assert len(desk.hands.done) == 1


def test_keeping_a_response_again_replaces_it(store: ResponseStore) -> None:
    decision = Decision(
        rule="r", action=Action.REVOKE_KEY, subject="k", alarm_id="a", code="never_issued", mode=Mode.ACT
    )
    preview = Preview(live_tokens=1, clients=1, tenants=1)
    for outcome in (Outcome.SUGGESTED, Outcome.ACTED):
        store.keep(Response(id="one", at=5.0, decision=decision, preview=preview, outcome=outcome))
    assert [kept.outcome for kept in store.since(5.0)] == [Outcome.ACTED]
    assert store.since(5.1) == []


def test_a_suggestion_of_before_is_answered_by_the_act_of_a_rule_that_may_act_now(
    store: ResponseStore,
) -> None:
    before = Desk(store, Mode.SUGGEST)
    before.alarm(1)
    asyncio.run(before.responder.step(0))
    after = Desk(store)
    after.alarm(1)
    after.clock.time += 60
    after.alarms.add([replace(after.alarms.page(0, 1)[0].alarm, id="f" * 64)])
    asyncio.run(after.responder.step(0))
    assert len(after.hands.done) == 1
    assert set(after.outcomes()) == {Outcome.ACTED}
