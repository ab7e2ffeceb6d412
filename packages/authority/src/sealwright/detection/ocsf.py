"""Alarms as OCSF Detection Finding events (class 2004, schema 1.6.0), as plain dictionaries.

Times are milliseconds since 1970. May carry digests and codes, never a token or a subject in clear.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sealwright.detection.catalogue.attack import TECHNIQUES, VERSION
from sealwright.detection.catalogue.entries import BY_CODE
from sealwright.detection.model import Severity, StoredAlarm

SCHEMA = "1.6.0"
CATEGORY, CLASS, CREATE = 2, 2004, 1
NEW = 1
SEVERITIES = {
    Severity.LOW: (2, "Low"),
    Severity.MEDIUM: (3, "Medium"),
    Severity.HIGH: (4, "High"),
    Severity.CRITICAL: (5, "Critical"),
}
CERTAIN, PROBABLE = 90, 50
"""Confidence percentages at and above which OCSF's `confidence_id` says high, or medium."""


def event(stored: StoredAlarm, version: str) -> dict[str, Any]:
    """One alarm as one event. `version` is the product's."""
    alarm = stored.alarm
    described = BY_CODE.get(alarm.code)
    severity_id, severity = SEVERITIES[alarm.severity]
    confidence = described.confidence if described else 100
    title = described.title if described else alarm.code.replace("_", " ").capitalize()
    return {
        "activity_id": CREATE,
        "activity_name": "Create",
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + CREATE,
        "type_name": "Detection Finding: Create",
        "time": _milliseconds(alarm.raised_at),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": NEW,
        "status": "New",
        "is_alert": True,
        "confidence_score": confidence,
        "confidence_id": 3 if confidence >= CERTAIN else 2 if confidence >= PROBABLE else 1,
        "message": described.means if described else title,
        "metadata": {
            "version": SCHEMA,
            "uid": f"{alarm.id}",
            "sequence": stored.seq,
            "product": {"name": "Sealwright", "vendor_name": "Sealwright", "version": version},
        },
        "finding_info": {
            "uid": alarm.id,
            "title": title,
            "desc": described.means if described else title,
            "created_time": _milliseconds(alarm.raised_at),
            "first_seen_time": _milliseconds(alarm.observed_at),
            "types": [alarm.code],
            "analytic": {"uid": alarm.code, "name": title, "type_id": 1, "type": "Rule"},
            "attacks": [_attack(technique) for technique in (described.attack if described else ())],
        },
        "remediation": {"desc": described.do if described else "See docs/detection.md."},
        "resources": _resources(stored),
        "evidences": [{"data": msgspec.to_builtins(alarm.facts)}],
    }


def _attack(technique: str) -> dict[str, Any]:
    parent, _, sub = technique.partition(".")
    attack: dict[str, Any] = {"version": VERSION, "technique": {"uid": parent, "name": TECHNIQUES[parent]}}
    if sub:
        attack["sub_technique"] = {"uid": technique, "name": TECHNIQUES[technique]}
    return attack


def _resources(stored: StoredAlarm) -> list[dict[str, str]]:
    alarm = stored.alarm
    named = (("token digest", alarm.digest), ("signing key", alarm.kid), ("ledger place", alarm.jti))
    return [{"type": kind, "uid": uid} for kind, uid in named if uid]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)
