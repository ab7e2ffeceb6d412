"""Audit entries, change requests, consents and approvals, as values.

Details are facts for people and auditors; whoever writes them keeps tokens, secrets and subjects out.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

DetailValue = str | int | float | bool | list[str] | None
Details = dict[str, DetailValue]


class Action(StrEnum):
    """What can need an approval."""

    CHANGE_REALM = "change_realm"
    CHANGE_ADMISSION_POLICY = "change_admission_policy"
    CHANGE_RETENTION = "change_retention"
    REVOKE_KEY = "revoke_key"
    DISABLE_CLIENT = "disable_client"
    REQUIRE_STRICT = "require_strict"
    END_FAMILY = "end_family"
    SEND_NOTICES = "send_notices"


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Someone asks to do something. Asking is the first consent. Times are unix seconds."""

    id: str
    action: Action
    subject: str
    details: Details
    requested_by: str
    requested_at: float


class Consent(msgspec.Struct, frozen=True):
    """An operator agrees to a request. Times are unix seconds."""

    request_id: str
    operator: str
    at: float


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The argument that an approved action takes. Made by `rules.approval_of` only.

    `details_digest` (hex SHA-256) binds it to exactly what was asked for; `valid_until` is unix seconds.
    """

    request_id: str
    action: Action
    subject: str
    details_digest: str
    operators: tuple[str, ...]
    granted_at: float
    valid_until: float


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit trail. Each entry's digest covers the one before, so that none can go unnoticed.

    `at` is unix seconds; `digest` and `previous` are hex SHA-256 (`previous` of the first entry is 64 zeros).
    """

    seq: int
    at: float
    actor: str
    action: str
    subject: str
    details: Details
    previous: str
    digest: str
    stated: bool = False
