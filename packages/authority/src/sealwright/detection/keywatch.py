"""Watches the keys themselves: does rotation go on; is what is trusted known, used and in the ledger?

Independent of the rotator: it reads stores and the clock, and changes nothing. A rotator that stands still is
noticed before issuing stops; a key that anybody trusts without the ledger knowing it is noticed within one
interval. May never decide about a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sealwright.admin.model import AuditEntry
from sealwright.detection.model import Alarm, Facts, Severity, ValidatorStatus
from sealwright.detection.rules import alarm_id
from sealwright.keys import rules
from sealwright.keys.announced import unannounced
from sealwright.keys.model import Key, KeyPolicy, KeyState

INTERVAL = 10.0
"""Seconds between two looks."""
OVERDUE = 15
"""Seconds that a planned change may be late; less where the lead is short."""
HEARD = 600.0
"""Seconds for which what a validator said last is believed to be what it does."""
CACHES = 360
"""Seconds that a cache of the plain JWKS may keep a key that the manifest lists no more, and a minute."""
MOST = 8
"""Unknown keys told of one reporter at one look: a reporter must not be able to flood the alarms."""


REFUSALS = frozenset({"admission_refused", "renewal_refused", "signer_ended"})
"""Actions of the audit trail by which the supervisor says that a signer is not what the policy asks for."""


class KeyAlarm(StrEnum):
    """Stable codes, as `Code` has them for tokens."""

    ROTATION_OVERDUE = "rotation_overdue"
    KEY_UNUSED = "key_unused"
    KEY_UNLEDGERED = "published_key_unledgered"
    CACHED_KEY_UNKNOWN = "cached_key_unknown"
    CACHED_KEY_BURIED = "cached_key_buried"
    MANIFEST_AHEAD = "manifest_ahead"
    SIGNER_REFUSED = "signer_refused"


@dataclass(frozen=True, slots=True)
class View:
    """What one look sees. Read in this order: what validators said, keys, manifest."""

    validators: Sequence[ValidatorStatus]
    keys: Sequence[Key]
    manifest_version: int
    policies: Sequence[KeyPolicy]
    leaf: Callable[[str, int], bytes | None]
    """Reads a leaf of the ledger: log id, index."""
    used: Callable[[Key], bool]
    """Whether a key has signed any token, as far back as it is worth looking."""
    known: Callable[[str], Key | None]
    """A key in any state."""
    audited: Sequence[AuditEntry] = ()
    """What the audit trail says since the look before, and a while earlier."""


def look(view: View, now: float) -> list[Alarm]:
    """Everything that is wrong with the keys now. The same finding always has the same id."""
    found = [
        *(alarm for policy in view.policies for alarm in _overdue(view.keys, policy, now)),
        *(alarm for key in view.keys for alarm in _unused(key, view, now)),
        *(alarm for key in view.keys if key.published for alarm in _unledgered(key, view, now)),
        *(alarm for status in view.validators for alarm in _validator(status, view, now)),
        *(alarm for entry in view.audited for alarm in _refused(entry, now)),
    ]
    return list({alarm.id: alarm for alarm in found}.values())


def _alarm(
    code: KeyAlarm,
    severity: Severity,
    subject: str,
    now: float,
    facts: Facts,
    kid: str | None = None,
) -> Alarm:
    return Alarm(
        id=alarm_id(code, subject),
        code=code,
        severity=severity,
        raised_at=now,
        observed_at=now,
        reporter=str(facts.get("reporter") or ""),
        digest="",
        kid=kid,
        jti=None,
        facts=facts,
    )


def _refused(entry: AuditEntry, now: float) -> Iterator[Alarm]:
    """A signer that was not admitted, could not prove itself again, or was ended for it: its machine or image
    is not what the policy asks for.
    """
    if entry.action in REFUSALS:
        told = {name: str(entry.details.get(name, "")) for name in ("code", "reason", "policy")}
        facts: Facts = {"what": entry.action, "log_id": entry.subject, "at": entry.at, **told}
        yield _alarm(KeyAlarm.SIGNER_REFUSED, Severity.HIGH, f"{entry.seq} {entry.digest}", now, facts)


def _overdue(keys: Sequence[Key], policy: KeyPolicy, now: float) -> Iterator[Alarm]:
    """A successor that is not staged, or does not take over, when it should: the rotator stands still."""
    mine = [key for key in keys if (key.realm, key.algorithm) == (policy.realm, policy.algorithm)]
    for key in mine:
        if key.state is not KeyState.ACTIVE:
            continue
        staged = [k.use_from for k in mine if k.state is KeyState.STAGED and k.log_id == key.log_id]
        due = min(staged, default=key.use_until - rules.HANDOVER - policy.lead)
        if now >= due + min(OVERDUE, policy.lead // 4):
            facts: Facts = {
                "realm": key.realm,
                "due_at": due,
                "waits_for": "activation" if staged else "a successor",
                "issuing_stops_at": key.use_until,
                "seconds_left": max(0, int(key.use_until - now)),
            }
            yield _alarm(KeyAlarm.ROTATION_OVERDUE, Severity.HIGH, key.kid, now, facts, key.kid)


def _unused(key: Key, view: View, now: float) -> Iterator[Alarm]:
    """A key that is trusted and that nobody uses, told once a day and realm."""
    half = (key.use_from + key.use_until) / 2
    if key.state is KeyState.ACTIVE and now >= half and not view.used(key):
        facts: Facts = {"realm": key.realm, "use_from": key.use_from, "use_until": key.use_until}
        subject = f"{key.realm} {int(now // 86_400)}"
        yield _alarm(KeyAlarm.KEY_UNUSED, Severity.LOW, subject, now, facts, key.kid)


def _unledgered(key: Key, view: View, now: float) -> Iterator[Alarm]:
    """A published key whose announcement is not in the ledger, or says something else than its row."""
    reason = unannounced(key, view.leaf)
    if reason is not None:
        facts: Facts = {"realm": key.realm, "log_id": key.log_id, "index": key.ledger_index, "reason": reason}
        yield _alarm(KeyAlarm.KEY_UNLEDGERED, Severity.CRITICAL, key.kid, now, facts, key.kid)


def _validator(status: ValidatorStatus, view: View, now: float) -> Iterator[Alarm]:
    """What a validator trusts that we do not know, or know to be gone."""
    if now - status.heard_at > HEARD:
        return
    who: Facts = {"reporter": status.reporter, "validator": status.validator.name}
    version = status.validator.manifest_version
    if version is not None and version > view.manifest_version:
        facts: Facts = {**who, "seen": version, "ours": view.manifest_version}
        yield _alarm(KeyAlarm.MANIFEST_AHEAD, Severity.CRITICAL, f"{status.reporter} {version}", now, facts)
    published = {key.kid for key in view.keys if key.published}
    strange = [kid for kid in status.validator.keys if kid not in published]
    for kid in strange[:MOST]:
        key = view.known(kid)
        subject = f"{status.reporter} {kid}"
        if key is None:
            yield unknown_cached(status.reporter, status.validator.name, kid, now)
        elif status.heard_at > key.changed_at + CACHES:
            facts = {**who, "realm": key.realm, "state": key.state, "since": key.changed_at}
            yield _alarm(KeyAlarm.CACHED_KEY_BURIED, Severity.HIGH, subject, now, facts, kid)


def unknown_cached(reporter: str, validator: str, kid: str, now: float) -> Alarm:
    """A validator trusts a key that was never ours. The same on arrival of its report and at every look."""
    who: Facts = {"reporter": reporter, "validator": validator}
    return _alarm(KeyAlarm.CACHED_KEY_UNKNOWN, Severity.CRITICAL, f"{reporter} {kid}", now, who, kid)
