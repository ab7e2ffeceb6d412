"""Who may approve what, and how the audit trail hangs together. Pure.

- No single operator can change a realm's scope, an admission policy or a retention rule: two distinct ones
  must agree, the requester being one of them.
- What only takes power away in an emergency (revoke, disable, strict) needs one: losing a key costs a
  rotation.
- A name in another spelling (`Ann`, `ann`) is the same person.
- An approval is bound to action, subject and details, is used soon or not at all, and is granted once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from sealwright.admin.model import Action, Approval, AuditEntry, ChangeRequest, Consent, Details
from sealwright.errors import Refused

REQUEST_LIFE = 86_400
"""Seconds in which a request must find its consents."""
APPROVAL_LIFE = 900
"""Seconds in which an approval must be used."""
FIRST = "0" * 64
"""What the first audit entry names as its predecessor."""

OPERATORS_NEEDED: Mapping[Action, int] = {
    Action.CHANGE_REALM: 2,
    Action.CHANGE_ADMISSION_POLICY: 2,
    Action.CHANGE_RETENTION: 2,
    Action.REVOKE_KEY: 1,
    Action.DISABLE_CLIENT: 1,
    Action.REQUIRE_STRICT: 1,
    Action.END_FAMILY: 1,
    Action.SEND_NOTICES: 2,
}

_canonical = msgspec.json.Encoder(order="deterministic")


def details_digest(details: Details) -> str:
    """Hex SHA-256 of details as canonical JSON (keys sorted, no white space)."""
    return hashlib.sha256(_canonical.encode(details)).hexdigest()


def approval_of(request: ChangeRequest, consents: Iterable[Consent], now: float) -> Approval:
    """The approval that a request and its consents amount to.

    Raises:
        Refused: `request_expired`, or `consents_missing` (with how many are still needed).
    """
    if now > request.requested_at + REQUEST_LIFE:
        raise Refused("request_expired", "The request found no approval in time; make a new one.")
    people = {request.requested_by.casefold(): request.requested_by}
    for consent in consents:
        if consent.request_id == request.id:
            people.setdefault(consent.operator.casefold(), consent.operator)
    operators = tuple(sorted(people.values()))
    missing = OPERATORS_NEEDED[request.action] - len(operators)
    if missing > 0:
        raise Refused("consents_missing", f"{missing} more operator must agree to {request.action}.")
    return Approval(
        request_id=request.id,
        action=request.action,
        subject=request.subject,
        details_digest=details_digest(request.details),
        operators=operators,
        granted_at=now,
        valid_until=now + APPROVAL_LIFE,
    )


def require_approved(approval: Approval, action: Action, subject: str, details: Details, now: float) -> None:
    """Every approved action calls this with what it is about to do.

    Raises:
        Refused: `approval_mismatch`, `approval_expired` or `consents_missing`.
    """
    if (approval.action, approval.subject) != (action, subject):
        raise Refused("approval_mismatch", "The approval is for something else.")
    if approval.details_digest != details_digest(details):
        raise Refused("approval_mismatch", "The details are not those that were approved.")
    if not approval.granted_at <= now <= approval.valid_until:
        raise Refused("approval_expired", "The approval has expired; ask for a new one.")
    if len({operator.casefold() for operator in approval.operators}) < OPERATORS_NEEDED[action]:
        raise Refused("consents_missing", f"Too few operators agreed to {action}.")


def next_entry(
    last: AuditEntry | None, at: float, actor: str, action: str, subject: str, details: Details
) -> AuditEntry:
    """The entry that follows `last` in the trail."""
    seq, previous = (last.seq + 1, last.digest) if last is not None else (1, FIRST)
    entry = AuditEntry(
        seq=seq,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        details=details,
        previous=previous,
        digest="",
    )
    return replace(entry, digest=_digest(entry))


def broken_at(entries: Iterable[AuditEntry]) -> int | None:
    """The number of the first entry that does not follow from the one before it; None when the trail is
    whole.
    """
    previous, expected = FIRST, 1
    for entry in entries:
        if (entry.seq, entry.previous, entry.digest) != (expected, previous, _digest(entry)):
            return entry.seq
        previous, expected = entry.digest, expected + 1
    return None


def _digest(entry: AuditEntry) -> str:
    """Hex SHA-256 of everything that an entry says, and of the digest before it."""
    said = (entry.seq, entry.at, entry.actor, entry.action, entry.subject, entry.details, entry.previous)
    return hashlib.sha256(_canonical.encode(said)).hexdigest()
