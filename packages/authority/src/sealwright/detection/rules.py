"""What is decided about one observation: pure, with the ledger's sight, the key's facts and the times passed
in.

- Only observations whose signature was valid, or that a validator accepted, are judged: anyone can send
  rubbish with an unverified signature, and alarms that an attacker can make at will would hide the real one.
- A token whose place holds its own leaf is genuine. A genuine token that was refused is nobody's alarm, but
  for one: its key was revoked or retired before. Then someone still presents what was withdrawn; that is one
  alarm for each key and reporter, however many tokens and however often.
- A canary is an alarm whoever looked at it and whatever the verdict: only who was where it lay knows it.
- "Not issued" is said only of what was received before the sight's `complete_until`. The token's own `iat` is
  the attacker's to choose and never postpones that.
- A key's realm, window and lifetime are compared with the token's own claims; its end with the time of use.

Nothing here may read a clock, a store or a setting.
"""

from __future__ import annotations

import hashlib
import re

from sealwright.detection.model import (
    ACCEPTED,
    Alarm,
    Code,
    Facts,
    Finding,
    Judgement,
    KeyFacts,
    KeyStatus,
    LeafFacts,
    LedgerSight,
    Observation,
    Place,
    Planted,
    Seen,
    Severity,
)

REPORTER_SKEW = 60
"""Seconds that a reporter's clock may differ from ours before its `at` is held against a retired key."""
REVOCATION_GRACE = 5
"""Seconds after a revocation during which a connected validator may still be learning of it."""
TOKEN_LEAF = 1
"""Leaf kind of a token (docs/formats/ledger.md)."""

_JTI = re.compile(r"\A([a-z2-7]{16})\.(0|[1-9][0-9]{0,17})\.[A-Za-z0-9_-]{12}\Z")


def is_judged(observation: Observation) -> bool:
    """Whether an observation can raise an alarm at all; the others are counted as header attacks."""
    return observation.signature == "valid" or observation.verdict == ACCEPTED


def place_of(unverified_jti: str | None) -> Place | None:
    """The place in the ledger that a `jti` names (docs/formats/token.md), or None where it names none."""
    match = _JTI.match(unverified_jti or "")
    return Place(match[1], int(match[2])) if match else None


def canaries_in(observation: Observation, planted: Planted) -> tuple[Finding, ...]:
    """What an observation touches of what was planted, whatever its verdict."""
    touched = [
        code
        for code, name, known in (
            (Code.CANARY_TOKEN, observation.digest, planted.tokens),
            (Code.CANARY_KEY, observation.kid, planted.keys),
        )
        if name in known
    ]
    facts = _facts_of(observation) if touched else {}
    return tuple(Finding(code, Severity.CRITICAL, facts, observation.digest) for code in touched)


def judge(seen: Seen, sight: LedgerSight, key: KeyFacts | None) -> Judgement:
    """Judge one observation against one sight of the ledger and the facts of the key that it names (if
    known).
    """
    observation = seen.observation
    if not is_judged(observation):
        return Judgement()
    ledger = _ledger_finding(observation, sight)
    held = ledger is not None and ledger[0] is Code.NEVER_ISSUED and sight.complete_until < seen.received_at
    accepted = observation.verdict == ACCEPTED
    if not accepted and held:
        return Judgement(held=held)
    if not accepted and ledger is None:
        return Judgement(_presented(seen, key))
    found = _key_findings(observation, key, seen.received_at)
    if ledger is not None and not held:
        found = [ledger, *found]
    # A genuine token that was let in against the rules shows a lax validator; anything else shows a stolen
    # key.
    severity = Severity.HIGH if ledger is None or held else Severity.CRITICAL
    facts = _facts_of(observation)
    digest = observation.digest
    return Judgement(tuple(Finding(code, severity, {**facts, **why}, digest) for code, why in found), held)


def alarm_of(seen: Seen, finding: Finding, now: float) -> Alarm:
    """The alarm of a finding; the same finding on the same subject always has the same id."""
    observation = seen.observation
    return Alarm(
        id=alarm_id(finding.code, finding.subject),
        code=finding.code.value,
        severity=finding.severity,
        raised_at=now,
        observed_at=min(observation.at, seen.received_at),
        reporter=seen.reporter,
        digest=observation.digest,
        kid=observation.kid,
        jti=observation.jti,
        facts=finding.facts,
    )


def state_alarm(code: str, severity: Severity, subject: str, now: float, since: float, facts: Facts) -> Alarm:
    """An alarm about something that is no token; the same subject always has the same id.

    Args:
        code: of the alarm.
        severity: how bad it is.
        subject: what it is about.
        now: seconds since 1970.
        since: when it began, likewise.
        facts: what goes with it.
    """
    return Alarm(
        id=alarm_id(code, subject),
        code=str(code),
        severity=severity,
        raised_at=now,
        observed_at=since,
        reporter="",
        digest="",
        kid=None,
        jti=None,
        facts=facts,
    )


def alarm_id(code: str, subject: str) -> str:
    """Hex SHA-256 of the code and what the alarm is about (a token's hex digest, or a name)."""
    return hashlib.sha256(f"{code}\0{subject}".encode()).hexdigest()


def _ledger_finding(observation: Observation, sight: LedgerSight) -> tuple[Code, Facts] | None:
    place = place_of(observation.jti)
    if place is None:
        return Code.NEVER_ISSUED, {"reason": "no_place"}
    where: Facts = {"log_id": place.log_id, "index": place.index}
    size = sight.sizes.get(place.log_id)
    if size is None:
        return Code.NEVER_ISSUED, {"reason": "no_such_log", **where}
    leaf = sight.leaves.get(place)
    if leaf is None:
        return Code.NEVER_ISSUED, {"reason": "beyond_end", "size": size, **where}
    return _leaf_finding(observation, leaf, where)


def _leaf_finding(observation: Observation, leaf: LeafFacts, where: Facts) -> tuple[Code, Facts] | None:
    if leaf.kind != TOKEN_LEAF:
        return Code.DIGEST_MISMATCH, {"reason": "not_a_token", "leaf_kind": leaf.kind, **where}
    if leaf.digest != observation.digest:
        return Code.DIGEST_MISMATCH, {"issued_digest": leaf.digest, "issued_kid": leaf.kid, **where}
    if leaf.kid != observation.kid:
        return Code.KID_MISMATCH, {"issued_kid": leaf.kid, **where}
    return None


def _key_findings(
    observation: Observation, key: KeyFacts | None, received_at: float
) -> list[tuple[Code, Facts]]:
    if key is None:
        return [(Code.UNKNOWN_KEY, {})]
    checks = (_realm(observation, key), _window(observation, key), _lifetime(observation, key))
    return [found for found in (*checks, _ended(observation, key, received_at)) if found is not None]


def _realm(observation: Observation, key: KeyFacts) -> tuple[Code, Facts] | None:
    strange = [audience for audience in observation.aud if audience not in key.audiences]
    if observation.iss in {None, key.issuer} and not strange:
        return None
    why: Facts = {"key_realm": key.realm, "key_issuer": key.issuer, "key_audiences": list(key.audiences)}
    return Code.KEY_OF_OTHER_REALM, why


def _window(observation: Observation, key: KeyFacts) -> tuple[Code, Facts] | None:
    iat, exp = observation.iat, observation.exp
    outside = iat is not None and not key.use_from <= iat < key.use_until
    outlives = exp is not None and exp > key.verify_until
    if not outside and not outlives:
        return None
    why: Facts = {"use_from": key.use_from, "use_until": key.use_until, "verify_until": key.verify_until}
    return Code.KEY_OUTSIDE_WINDOW, why


def _lifetime(observation: Observation, key: KeyFacts) -> tuple[Code, Facts] | None:
    if (
        observation.iat is None
        or observation.exp is None
        or observation.exp - observation.iat <= key.max_lifetime
    ):
        return None
    return Code.LIFETIME_BEYOND_POLICY, {"max_lifetime": key.max_lifetime}


def _ended(observation: Observation, key: KeyFacts, received_at: float) -> tuple[Code, Facts] | None:
    # A reporter's clock that runs ahead must not turn a use before the end into one after it.
    used_at = min(observation.at, received_at)
    if key.status is KeyStatus.REVOKED and key.revoked_at is not None:
        spared = (
            key.issued_before is not None
            and observation.iat is not None
            and observation.iat < key.issued_before
        )
        if not spared and used_at > key.revoked_at + REVOCATION_GRACE:
            return Code.KEY_REVOKED, {"revoked_at": key.revoked_at, "issued_before": key.issued_before}
    if (
        key.status is KeyStatus.RETIRED
        and key.retired_at is not None
        and used_at > key.retired_at + REPORTER_SKEW
    ):
        return Code.KEY_RETIRED, {"retired_at": key.retired_at}
    return None


_PRESENTED = {
    Code.KEY_REVOKED: (Code.REVOKED_KEY_PRESENTED, Severity.MEDIUM),
    Code.KEY_RETIRED: (Code.RETIRED_KEY_PRESENTED, Severity.LOW),
}


def _presented(seen: Seen, key: KeyFacts | None) -> tuple[Finding, ...]:
    """What is said of a genuine token that was refused, with its signature verified, after its key's end."""
    ended = _ended(seen.observation, key, seen.received_at) if key is not None else None
    if ended is None:
        return ()
    code, severity = _PRESENTED[ended[0]]
    subject = f"{seen.observation.kid}/{seen.reporter}"
    return (Finding(code, severity, {**_facts_of(seen.observation), **ended[1]}, subject),)


def _facts_of(observation: Observation) -> Facts:
    return {
        "verdict": observation.verdict,
        "signature": observation.signature,
        "iss": observation.iss,
        "aud": list(observation.aud),
        "client_id": observation.client_id,
        "sub_digest": observation.sub_digest,
        "iat": observation.iat,
        "exp": observation.exp,
    }
