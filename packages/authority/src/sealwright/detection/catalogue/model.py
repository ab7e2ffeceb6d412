"""What a detection of the catalogue is, which tables it reads, and what it answers.

Times are unix seconds as float64: engines disagree on timestamp types. Needs no optional package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sealwright.detection.model import Severity

BEGINNING = "began"
"""Kind of the one grant event that belongs to no token: it says since when every token has one."""


class How(StrEnum):
    """Where a detection is decided: on each observation as it comes, over history, or both."""

    STREAM = "stream"
    HISTORY = "history"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Detection:
    """One entry of the catalogue.

    `attack` lists MITRE ATT&CK technique ids. `confidence` is a percentage: how often a finding, taken alone,
    is what it looks like; 100 where the finding is a contradiction and not a guess.
    """

    code: str
    title: str
    severity: Severity
    how: How
    confidence: int
    attack: tuple[str, ...]
    means: str
    do: str


@dataclass(frozen=True, slots=True)
class Params:
    """The times and thresholds of one run. Times are unix seconds, spans are seconds.

    Findings are about what was received at or after `since`; older rows are history to compare with.
    `complete_until`: the ledger that is searched holds every leaf committed before this.
    """

    since: float
    now: float
    complete_until: float
    skew: float = 60.0
    revocation_grace: float = 5.0
    baseline: float = 14 * 86_400.0
    memory: float = 90 * 86_400.0
    dormant_after: float = 86_400.0
    replay_networks: int = 3
    header_attacks: int = 20
    silent_after: float = 120.0
    manifest_life: float = 60.0
    checkpoint_age: float = 300.0
    witnesses: int = 0
    travel_kmh: int = 1_000
    travel_km: int = 500
    burst_factor: int = 3
    burst_least: int = 100
    slow_subjects: int = 50
    slow_hits: int = 3
    slow_hourly: int = 100


TABLES: Mapping[str, Mapping[str, str]] = {
    "issued": {
        "log_id": "string",
        "idx": "int64",
        "jti": "string",
        "digest": "string",
        "kid": "string",
        "iat": "int64",
        "exp": "int64",
        "realm": "string",
        "client_id": "string",
        "sub_digest": "string",
        "tenant": "string",
        "aud": "array<string>",
        "scope": "array<string>",
        "grant": "string",
        "parent": "string",
        "family": "string",
        "cnf": "string",
        "event_id": "string",
    },
    "observed": {
        "id": "string",
        "reporter": "string",
        "instance": "string",
        "received_at": "float64",
        "at": "float64",
        "verdict": "string",
        "signature": "string",
        "digest": "string",
        "kid": "string",
        "jti": "string",
        "log_id": "string",
        "idx": "int64",
        "iss": "string",
        "aud": "array<string>",
        "iat": "int64",
        "exp": "int64",
        "client_id": "string",
        "sub_digest": "string",
        "tenant": "string",
        "resource": "string",
        "network": "string",
        "latitude": "float64",
        "longitude": "float64",
        "binding": "string",
    },
    "keys": {
        "kid": "string",
        "realm": "string",
        "issuer": "string",
        "audiences": "array<string>",
        "use_from": "float64",
        "use_until": "float64",
        "verify_until": "float64",
        "max_lifetime": "int64",
        "status": "string",
        "activated_at": "float64",
        "retired_at": "float64",
        "revoked_at": "float64",
        "issued_before": "float64",
    },
    "clients": {
        "client_id": "string",
        "realm": "string",
        "scopes": "array<string>",
        "disabled_at": "float64",
    },
    "grants": {"event_id": "string", "at": "float64", "client_id": "string", "kind": "string"},
    "revocations": {"kind": "string", "value": "string", "at": "float64"},
    "checkpoints": {
        "log_id": "string",
        "size": "int64",
        "root": "string",
        "at": "float64",
        "witnesses": "int64",
        "live": "boolean",
    },
    "signer_counts": {"log_id": "string", "kid": "string", "signed": "int64", "at": "float64"},
    "validators": {
        "reporter": "string",
        "instance": "string",
        "heard_at": "float64",
        "manifest_version": "int64",
        "manifest_age": "float64",
    },
    "changes": {
        "at": "float64",
        "actor": "string",
        "action": "string",
        "subject": "string",
        "operators": "int64",
    },
    "canaries": {"kind": "string", "value": "string"},
}
"""Columns of the tables that detections read, with Ibis type names. Every engine must offer exactly these."""

FINDING: Mapping[str, str] = {
    "subject": "string",
    "at": "float64",
    "digest": "string",
    "kid": "string",
    "jti": "string",
    "client_id": "string",
    "sub_digest": "string",
    "tenant": "string",
    "count": "int64",
    "detail": "string",
}
"""Columns of every detection's answer. `subject` is what the finding is about; code and subject make its id.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One finding of a detection over history, as an engine answers it."""

    code: str
    subject: str
    at: float
    digest: str | None
    kid: str | None
    jti: str | None
    client_id: str | None
    sub_digest: str | None
    tenant: str | None
    count: int
    detail: str
