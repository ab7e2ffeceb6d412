"""What a rule may do about an alarm, and what keeps a detector gone wrong from switching the service off."""

from typing import Any

import pytest

from sealwright.admin.model import Action
from sealwright.detection.model import Alarm, Severity
from sealwright.response.model import Decision, Mode, Outcome, Preview, Response, Rule
from sealwright.response.rules import DEFAULT_RULES, KEY_STOLEN, decide, response_id

NOW = 1_800_000_000.0
ACT = Rule(
    name="revoke", codes=KEY_STOLEN, least_severity=Severity.CRITICAL, action=Action.REVOKE_KEY, mode=Mode.ACT
)


def alarm(number: int = 1, **changes: Any) -> Alarm:
    fields: dict[str, Any] = {
        "id": f"{number:064x}",
        "code": "never_issued",
        "severity": Severity.CRITICAL,
        "raised_at": NOW,
        "observed_at": NOW,
        "reporter": "mail",
        "digest": "d" * 64,
        "kid": f"key-{number}",
        "jti": None,
        "facts": {"client_id": "mail-app", "subject": "parent-1"},
    }
    return Alarm(**(fields | changes))


def done(decision: Decision, outcome: Outcome, at: float = NOW) -> Response:
    preview = Preview(live_tokens=0, clients=0, tenants=0)
    return Response(id=decision.alarm_id, at=at, decision=decision, preview=preview, outcome=outcome)


def test_nothing_acts_by_itself_out_of_the_box() -> None:
    decisions = decide(alarm(), "enterprise", DEFAULT_RULES, [], NOW)
    assert [(decision.action, decision.subject) for decision in decisions] == [
        (Action.REVOKE_KEY, "key-1"),
        (Action.REQUIRE_STRICT, "enterprise"),
    ]
    assert all(decision.mode is Mode.SUGGEST for decision in decisions)


def test_a_rule_that_may_act_acts_on_a_contradiction() -> None:
    (decision,) = decide(alarm(), "enterprise", [ACT], [], NOW)
    assert decision.mode is Mode.ACT


def test_a_guess_is_suggested_whatever_the_rule_says() -> None:
    rule = Rule(
        name="x",
        codes=frozenset({"low_and_slow"}),
        least_severity=Severity.LOW,
        action=Action.DISABLE_CLIENT,
        mode=Mode.ACT,
    )
    (decision,) = decide(alarm(code="low_and_slow", severity=Severity.MEDIUM), None, [rule], [], NOW)
    assert (decision.mode, decision.subject) == (Mode.SUGGEST, "mail-app")


@pytest.mark.parametrize(
    ("changes", "realm"),
    [
        ({"code": "first_seen_client"}, "enterprise"),
        ({"severity": Severity.HIGH}, "enterprise"),
        ({"kid": None}, None),
        ({}, None),  # a key that was never ours cannot be revoked
    ],
)
def test_an_alarm_that_a_rule_is_not_for_decides_nothing(changes: dict[str, Any], realm: str | None) -> None:
    assert decide(alarm(**changes), realm, [ACT], [], NOW) == []


def test_a_rule_that_is_off_is_off() -> None:
    off = Rule(
        name="x", codes=KEY_STOLEN, least_severity=Severity.LOW, action=Action.REVOKE_KEY, mode=Mode.OFF
    )
    assert decide(alarm(), "enterprise", [off], [], NOW) == []


def test_a_family_is_ended_by_the_token_that_was_used_twice() -> None:
    (decision,) = decide(alarm(code="family_reused", severity=Severity.HIGH), None, DEFAULT_RULES, [], NOW)
    assert (decision.action, decision.subject) == (Action.END_FAMILY, "parent-1")


def test_the_same_action_on_the_same_subject_is_decided_once() -> None:
    (decision,) = decide(alarm(1), "enterprise", [ACT], [], NOW)
    assert decide(alarm(2, kid="key-1"), "enterprise", [ACT], [done(decision, Outcome.ACTED)], NOW) == []


@pytest.mark.parametrize("outcome", [Outcome.ACTED, Outcome.FAILED])
def test_a_rule_acts_a_few_times_only_and_suggests_from_then_on(outcome: Outcome) -> None:
    past: list[Response] = []
    modes = []
    for number in range(4):
        (decision,) = decide(alarm(number), "enterprise", [ACT], past, NOW)
        modes.append((decision.mode, decision.limited))
        past.append(done(decision, outcome if decision.mode is Mode.ACT else Outcome.LIMITED))
    assert modes == [(Mode.ACT, False), (Mode.ACT, False), (Mode.SUGGEST, True), (Mode.SUGGEST, True)]
    (later,) = decide(alarm(9), "enterprise", [ACT], past, NOW + ACT.within)
    assert later.mode is Mode.ACT


def test_suggestions_do_not_use_up_the_limit() -> None:
    (decision,) = decide(alarm(1), "enterprise", [ACT], [], NOW)
    past = [
        done(
            Decision(
                rule="revoke",
                action=Action.REVOKE_KEY,
                subject=f"s{n}",
                alarm_id="a",
                code="c",
                mode=Mode.SUGGEST,
            ),
            Outcome.SUGGESTED,
        )
        for n in range(5)
    ]
    assert decide(alarm(1), "enterprise", [ACT], past, NOW) == [decision]


def test_a_response_has_one_id_for_action_subject_and_alarm() -> None:
    one = response_id(Action.REVOKE_KEY, "key-1", "a")
    others = {
        response_id(Action.DISABLE_CLIENT, "key-1", "a"),
        response_id(Action.REVOKE_KEY, "key-2", "a"),
        response_id(Action.REVOKE_KEY, "key-1", "b"),
    }
    assert one == response_id(Action.REVOKE_KEY, "key-1", "a")
    assert one not in others


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (Outcome.SUGGESTED, True),
        (Outcome.LIMITED, True),
        (Outcome.FAILED, True),
        (Outcome.REVERSED, True),
        (Outcome.ACTED, False),
    ],
)
def test_what_was_only_suggested_before_does_not_keep_a_rule_from_acting(
    outcome: Outcome, again: bool
) -> None:
    (decision,) = decide(alarm(1), "enterprise", [ACT], [], NOW)
    found = decide(alarm(2, kid="key-1"), "enterprise", [ACT], [done(decision, outcome)], NOW)
    assert [one.mode for one in found] == ([Mode.ACT] if again else [])


def test_what_was_taken_back_is_suggested_again() -> None:
    (decision,) = decide(alarm(1), "enterprise", DEFAULT_RULES[1:2], [], NOW)
    for outcome, again in ((Outcome.SUGGESTED, 0), (Outcome.ACTED, 0), (Outcome.REVERSED, 1)):
        found = decide(alarm(2), "enterprise", DEFAULT_RULES[1:2], [done(decision, outcome)], NOW)
        assert len(found) == again, outcome
