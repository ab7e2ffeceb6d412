"""What is done about an alarm: pure, with the rules, the past and the time passed in.

- A rule acts by itself only on a contradiction: a code whose confidence in the catalogue is 100. Everything
  else is suggested, whatever the rule says.
- A rule that has acted `most` times within its window only suggests, until the window has passed.
- The same action on the same subject is done once, and suggested once, until it is taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from sealwright.admin.model import Action
from sealwright.detection.catalogue.entries import BY_CODE
from sealwright.detection.model import Alarm, Severity
from sealwright.response.model import Decision, Mode, Outcome, Response, Rule

CERTAIN = 100
_ORDER = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)

KEY_STOLEN = frozenset(
    {
        "never_issued",
        "digest_mismatch",
        "kid_mismatch",
        "altered_twin",
        "key_of_other_realm",
        "key_outside_window",
        "before_activation",
        "lifetime_beyond_policy",
        "signer_count_mismatch",
    }
)

DEFAULT_RULES = (
    Rule(
        name="revoke-stolen-key", codes=KEY_STOLEN, least_severity=Severity.CRITICAL, action=Action.REVOKE_KEY
    ),
    Rule(
        name="strict-while-forged",
        codes=KEY_STOLEN,
        least_severity=Severity.CRITICAL,
        action=Action.REQUIRE_STRICT,
    ),
    Rule(
        name="disable-harvesting-client",
        codes=frozenset({"low_and_slow", "issued_without_grant", "scope_beyond_policy"}),
        least_severity=Severity.MEDIUM,
        action=Action.DISABLE_CLIENT,
    ),
    Rule(
        name="end-reused-family",
        codes=frozenset({"family_reused"}),
        least_severity=Severity.HIGH,
        action=Action.END_FAMILY,
    ),
)
"""What the product suggests out of the box. Nothing acts by itself until an operator says so."""


def decide(
    alarm: Alarm, realm: str | None, rules: Iterable[Rule], past: Collection[Response], now: float
) -> list[Decision]:
    """What the rules say of one alarm.

    Args:
        alarm: the alarm.
        realm: of the key that it names, where it names a known one.
        rules: in order.
        past: responses that stand, for limits and repeats.
        now: unix seconds.
    """
    decisions: list[Decision] = []
    for rule in rules:
        subject = _subject(rule.action, alarm, realm)
        if subject is None or not _matches(rule, alarm):
            continue
        same = [
            done
            for done in past
            if (done.decision.action, done.decision.subject) == (rule.action, subject)
            and done.outcome is not Outcome.REVERSED
        ]
        mode, limited = _allowed(rule, alarm, past, now)
        if _stands(same, mode):
            continue
        decisions.append(
            Decision(
                rule=rule.name,
                action=rule.action,
                subject=subject,
                alarm_id=alarm.id,
                code=alarm.code,
                mode=mode,
                limited=limited,
            )
        )
    return decisions


def _stands(same: Collection[Response], mode: Mode) -> bool:
    """Whether what was decided before is the answer to this as well. What was merely suggested is none where
    the rule may act by now, and what failed is tried again.
    """
    if mode is Mode.ACT:
        return any(done.outcome is Outcome.ACTED for done in same)
    return bool(same)


def response_id(action: Action, subject: str, alarm_id: str) -> str:
    """Stable id of a response: the same alarm decides the same thing once."""
    return hashlib.sha256(f"{action}\0{subject}\0{alarm_id}".encode()).hexdigest()[:16]


def _matches(rule: Rule, alarm: Alarm) -> bool:
    severe = _ORDER.index(alarm.severity) >= _ORDER.index(rule.least_severity)
    return rule.mode is not Mode.OFF and alarm.code in rule.codes and severe


def _allowed(rule: Rule, alarm: Alarm, past: Collection[Response], now: float) -> tuple[Mode, bool]:
    described = BY_CODE.get(alarm.code)
    if rule.mode is not Mode.ACT or described is None or described.confidence < CERTAIN:
        return Mode.SUGGEST, False
    acted = [
        done
        for done in past
        if done.decision.rule == rule.name
        and done.outcome in {Outcome.ACTED, Outcome.FAILED}
        and done.at > now - rule.within
    ]
    limited = len(acted) >= rule.most
    return (Mode.SUGGEST if limited else Mode.ACT), limited


def _subject(action: Action, alarm: Alarm, realm: str | None) -> str | None:
    client, subject = alarm.facts.get("client_id"), alarm.facts.get("subject")
    named = {
        Action.REVOKE_KEY: alarm.kid if realm is not None else None,
        Action.REQUIRE_STRICT: realm,
        Action.DISABLE_CLIENT: client if isinstance(client, str) else None,
        Action.END_FAMILY: subject if isinstance(subject, str) else None,
    }
    return named.get(action)
