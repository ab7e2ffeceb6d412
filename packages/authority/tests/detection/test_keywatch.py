"""The watch over keys tells each thing that is wrong, and nothing of keys that are as they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sealwright.admin.model import AuditEntry, Details
from sealwright.detection import keywatch
from sealwright.detection.keywatch import KeyAlarm, View, look
from sealwright.detection.model import Severity, ValidatorFacts, ValidatorStatus
from sealwright.drills.forger import b64u
from sealwright.keys.model import Key, KeyPolicy, KeyState
from sealwright.keys.rules import HANDOVER

NOW = 1_800_000_000
POLICY = KeyPolicy("enterprise", "ES256", 21_600, 1_800, 60, 3_600, 60)


def announced(**claims: Any) -> str:
    return f"e30.{b64u(msgspec.json.encode(claims))}.c2ln"


def key(
    kid: str = "kid-a", state: KeyState = KeyState.ACTIVE, use_from: int = NOW - 60, **change: Any
) -> Key:
    until, verify = use_from + 21_600, use_from + 25_260
    windows = {"use_from": use_from, "use_until": until, "verify_until": verify}
    jwk = {"kid": kid}
    announcement = announced(kid=kid, realm="enterprise", jwk=jwk, **windows)
    made = Key(
        kid, "enterprise", "ES256", "log-a", announcement, 1, jwk, use_from, until, verify, state, use_from
    )
    return replace(made, **change)


def leaf_of(*keys: Key) -> Callable[[str, int], bytes | None]:
    leaves = {
        (each.log_id, each.ledger_index): b"\x01\x02"
        + msgspec.json.encode(
            {"announcement": each.announcement, "at": 1, "event": "announced", "kid": each.kid, "realm": "x"},
            order="sorted",
        )
        for each in keys
    }
    return lambda log_id, index: leaves.get((log_id, index))


def view(*keys: Key, **change: Any) -> View:
    known = {each.kid: each for each in keys}
    made = View((), keys, 7, (POLICY,), leaf_of(*keys), lambda _key: True, known.get)
    return replace(made, **change)


def entry(action: str, seq: int = 7) -> AuditEntry:
    details: Details = {"code": "evidence_refused", "reason": "pcr-value", "policy": "sha256:00"}
    return AuditEntry(
        seq=seq,
        at=float(NOW),
        actor="system:supervisor",
        action=action,
        subject="log-a",
        details=details,
        previous="",
        digest=f"d{seq}",
    )


@pytest.mark.parametrize("action", ["admission_refused", "renewal_refused", "signer_ended"])
def test_a_signer_that_is_not_what_the_policy_asks_for_is_an_alarm_with_the_reason(action: str) -> None:
    alarms = look(view(audited=[entry(action), entry(action), entry("policy_in_force", 8)]), NOW)
    [found] = [alarm for alarm in alarms if alarm.code == KeyAlarm.SIGNER_REFUSED]
    assert found.severity is Severity.HIGH
    assert (found.facts["log_id"], found.facts["reason"]) == ("log-a", "pcr-value")
    assert found.facts["what"] == action


def codes(seen: View, now: float = NOW) -> list[str]:
    return [alarm.code for alarm in look(seen, now)]


def said(*, heard_at: float = NOW, **facts: Any) -> ValidatorStatus:
    return ValidatorStatus("mail", ValidatorFacts(name="mail-api", instance="i", **facts), heard_at)


def test_keys_as_they_should_be_raise_nothing() -> None:
    staged = key("kid-b", KeyState.STAGED, NOW + 1_800, ledger_index=2)
    assert codes(view(key(), staged, validators=[said(manifest_version=7, keys=("kid-a", "kid-b"))])) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_successor_that_is_not_staged_in_time_is_told_before_issuing_stops(late: bool) -> None:
    active = key()
    due = active.use_until - HANDOVER - POLICY.lead
    now = due + keywatch.OVERDUE - (0 if late else 1)
    found = look(view(active), now)
    assert [alarm.code for alarm in found] == ([KeyAlarm.ROTATION_OVERDUE] if late else [])
    if late:
        assert found[0].facts["issuing_stops_at"] == active.use_until
        assert int(str(found[0].facts["seconds_left"])) > POLICY.lead // 2


def test_a_successor_that_does_not_take_over_is_told() -> None:
    active = key()
    staged = key("kid-b", KeyState.STAGED, active.use_until - HANDOVER, ledger_index=2)
    assert codes(view(active, staged), staged.use_from) == []
    assert codes(view(active, staged), staged.use_from + keywatch.OVERDUE) == [KeyAlarm.ROTATION_OVERDUE]


def test_a_key_that_nobody_uses_is_told_once_for_its_realm_and_day() -> None:
    one, other = key(use_from=NOW - 12_000), key("kid-b", use_from=NOW - 12_000, ledger_index=2)
    found = look(view(one, other, used=lambda _key: False), NOW)
    assert [(alarm.code, alarm.severity) for alarm in found] == [(KeyAlarm.KEY_UNUSED, Severity.LOW)]
    assert codes(view(key(), used=lambda _key: False)) == []  # it is young


@pytest.mark.parametrize(
    "rogue",
    [
        {"ledger_index": 99},
        {"jwk": {"kid": "kid-a", "x": "another"}},
        {"use_until": NOW + 999_999},
        {"realm": "consumer"},
    ],
)
def test_a_published_key_that_the_ledger_does_not_have_is_told(rogue: dict[str, Any]) -> None:
    row = replace(key(), **rogue)
    found = look(view(row, leaf=leaf_of(key())), NOW)
    assert [(alarm.code, alarm.severity) for alarm in found] == [(KeyAlarm.KEY_UNLEDGERED, Severity.CRITICAL)]
    assert codes(view(replace(row, state=KeyState.RETIRED), leaf=leaf_of(key()))) == []


def test_a_key_in_a_validators_cache_that_never_was_ours_is_told() -> None:
    found = look(view(key(), validators=[said(keys=("kid-a", "kid-of-somebody"))]), NOW)
    assert [(alarm.code, alarm.kid, alarm.reporter) for alarm in found] == [
        (KeyAlarm.CACHED_KEY_UNKNOWN, "kid-of-somebody", "mail")
    ]


def test_a_buried_key_in_a_validators_cache_is_told_once_caches_are_over() -> None:
    buried = key("kid-b", KeyState.RETIRED, changed_at=NOW - keywatch.CACHES - 1)
    status = [said(keys=("kid-b",))]
    known = {"kid-b": buried}
    assert codes(view(validators=status, known=known.get)) == [KeyAlarm.CACHED_KEY_BURIED]
    fresh = {"kid-b": replace(buried, changed_at=NOW - 10)}
    assert codes(view(validators=status, known=fresh.get)) == []


def test_a_validator_that_saw_a_newer_manifest_shows_a_restored_backup() -> None:
    assert codes(view(validators=[said(manifest_version=8)])) == [KeyAlarm.MANIFEST_AHEAD]


def test_what_a_validator_said_long_ago_counts_no_more() -> None:
    old = said(heard_at=NOW - keywatch.HEARD - 1, manifest_version=99, keys=("kid-x",))
    assert codes(view(validators=[old])) == []


def test_one_reporter_cannot_flood_the_alarms() -> None:
    many = tuple(f"kid-{number}" for number in range(1_000))
    assert len(look(view(validators=[said(keys=many)]), NOW)) == keywatch.MOST
