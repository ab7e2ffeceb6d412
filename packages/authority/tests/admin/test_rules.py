"""Who can approve what; and that the audit trail shows what was done to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sealwright.admin.model import Action, Approval, AuditEntry, ChangeRequest, Consent, Details
from sealwright.admin.rules import (
    APPROVAL_LIFE,
    OPERATORS_NEEDED,
    REQUEST_LIFE,
    approval_of,
    broken_at,
    next_entry,
    require_approved,
)
from sealwright.errors import Refused

SCOPE: Details = {"audiences": ["https://a.example"]}


def request(action: Action = Action.CHANGE_REALM) -> ChangeRequest:
    return ChangeRequest(
        id="change-1",
        action=action,
        subject="enterprise",
        details=SCOPE,
        requested_by="operator:a",
        requested_at=100.0,
    )


def granted() -> Approval:
    return approval_of(request(), [Consent("change-1", "operator:b", 150.0)], 200.0)


def test_every_action_says_how_many_operators_it_needs() -> None:
    assert set(OPERATORS_NEEDED) == set(Action)


@pytest.mark.parametrize(
    "action", [Action.CHANGE_REALM, Action.CHANGE_ADMISSION_POLICY, Action.CHANGE_RETENTION]
)
def test_no_single_operator_changes_scope_policy_or_retention(action: Action) -> None:
    alone = [Consent("change-1", "operator:a", 101.0), Consent("change-1", "operator:a", 102.0)]
    with pytest.raises(Refused, match="consents_missing"):
        approval_of(request(action), alone, 200.0)


def test_a_consent_to_another_request_does_not_count() -> None:
    with pytest.raises(Refused, match="consents_missing"):
        approval_of(request(), [Consent("change-2", "operator:b", 150.0)], 200.0)


def test_taking_power_away_in_an_emergency_needs_one_operator() -> None:
    assert approval_of(request(Action.REVOKE_KEY), [], 200.0).operators == ("operator:a",)


def test_a_request_that_waited_too_long_is_refused() -> None:
    consents = [Consent("change-1", "operator:b", 150.0)]
    approval_of(request(), consents, 100.0 + REQUEST_LIFE)
    with pytest.raises(Refused, match="request_expired"):
        approval_of(request(), consents, 100.1 + REQUEST_LIFE)


def test_an_approval_lets_through_exactly_what_was_approved() -> None:
    require_approved(granted(), Action.CHANGE_REALM, "enterprise", SCOPE, 200.0)
    require_approved(granted(), Action.CHANGE_REALM, "enterprise", dict(SCOPE), 200.0 + APPROVAL_LIFE)


@pytest.mark.parametrize(
    ("action", "subject", "details", "now", "code"),
    [
        (Action.CHANGE_RETENTION, "enterprise", SCOPE, 200.0, "approval_mismatch"),
        (Action.CHANGE_REALM, "consumer", SCOPE, 200.0, "approval_mismatch"),
        (Action.CHANGE_REALM, "enterprise", {"audiences": ["https://b.example"]}, 200.0, "approval_mismatch"),
        (Action.CHANGE_REALM, "enterprise", {}, 200.0, "approval_mismatch"),
        (Action.CHANGE_REALM, "enterprise", SCOPE, 200.1 + APPROVAL_LIFE, "approval_expired"),
        (Action.CHANGE_REALM, "enterprise", SCOPE, 199.0, "approval_expired"),
    ],
)
def test_an_approval_of_something_else_or_of_another_time_is_refused(
    action: Action, subject: str, details: Details, now: float, code: str
) -> None:
    with pytest.raises(Refused, match=code):
        require_approved(granted(), action, subject, details, now)


def test_an_approval_that_names_one_operator_twice_is_refused() -> None:
    forged = replace(granted(), operators=("operator:a", "operator:a"))
    with pytest.raises(Refused, match="consents_missing"):
        require_approved(forged, Action.CHANGE_REALM, "enterprise", SCOPE, 200.0)


def trail(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(length):
        last = entries[-1] if entries else None
        entries.append(
            next_entry(last, float(number), "operator:a", "do", f"subject-{number}", {"n": number})
        )
    return entries


def test_a_whole_trail_is_whole() -> None:
    assert broken_at(trail(5)) is None
    assert broken_at([]) is None


@given(
    length=st.integers(min_value=1, max_value=6),
    where=st.integers(min_value=0, max_value=5),
    change=st.sampled_from(["seq", "at", "actor", "action", "subject", "details", "previous", "digest"]),
)
def test_every_change_of_an_entry_shows(length: int, where: int, change: str) -> None:
    entries = trail(length)
    index = where % length
    changes = {"seq": 99, "at": 1e9, "details": {"n": -1}}
    entries[index] = replace(entries[index], **{change: changes.get(change, "f" * 64)})
    assert broken_at(entries) is not None


@given(length=st.integers(min_value=2, max_value=6), where=st.integers(min_value=0, max_value=4))
def test_an_entry_that_is_missing_or_moved_shows(length: int, where: int) -> None:
    index = where % (length - 1)
    without = trail(length)
    del without[index]
    assert broken_at(without) == index + 2
    swapped = trail(length)
    swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
    assert broken_at(swapped) is not None
