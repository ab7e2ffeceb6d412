"""Notices to affected tenants: what is known, what is not, what to do; signed, corrected, and their delivery
logged.

A notice is made from the tenant's own part of a scope only. It says "touched" for what is proven and "in
reach" for what is not, and never the one for the other. A correction supersedes; nothing that was sent is
ever changed. This module composes and keeps; it sends nothing by itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from sealwright.admin.model import Action, Approval, Details
from sealwright.admin.rules import require_approved
from sealwright.errors import Refused
from sealwright.response.affected import Scope, Touched, of_tenant

TYPE = "sealwright-notice+jwt"
MOST_ROWS = 1_000
"""Uses that a notice lists; a scope (`respond scope --tenant`) has them all."""
UNKNOWN_HOW = "How the key was taken is not known."


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One version of what one tenant is told about one incident. Times are unix seconds."""

    id: str
    incident: str
    tenant: str
    version: int
    supersedes: str | None
    correction: str
    issued_at: float
    since: float
    until: float
    subjects_touched: int
    uses_accepted: int
    uses_refused: int
    subjects_in_reach: int
    resources: list[str]
    touched: list[Touched]
    known: list[str]
    unknown: list[str]
    todo: list[str]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to bring a notice to its tenant, by whatever channel. `at` is unix seconds."""

    notice: str
    tenant: str
    channel: str
    at: float
    outcome: str


class NoticeSigner(Protocol):
    """Signs notices with a key whose public half tenants know."""

    def sign_notice(self, signing_input: bytes) -> bytes:
        """The Ed25519 signature."""
        ...

    def notice_kid(self) -> str:
        """Key id in the header."""
        ...


class SignedNotice(msgspec.Struct, frozen=True):
    """A notice as it was signed: the compact JWS."""

    notice: Notice
    signed: str


class NoticeStore(Protocol):
    """Keeps every version that was made, and every attempt to deliver it. Neither is ever changed."""

    def add(self, made: Sequence[SignedNotice]) -> None:
        """Keep notices, all or none; durable when this returns.

        Raises:
            Refused: `notice_exists` where a version is there already; none is kept then.
            Unavailable: none was kept.
        """
        ...

    def of_incident(self, incident: str) -> list[SignedNotice]:
        """Every version of every notice about an incident, in the order in which they were made."""
        ...

    def notice(self, notice_id: str) -> SignedNotice | None:
        """One notice."""
        ...

    def latest(self, incident: str, tenant: str) -> Notice | None:
        """The newest version for a tenant."""
        ...

    def log(self, delivery: Delivery) -> None:
        """Keep an attempt."""
        ...

    def deliveries(self, notice: str) -> list[Delivery]:
        """The attempts to deliver a notice, oldest first."""
        ...


def composed(
    whole: Scope, incident: str, tenant: str, now: float, before: Notice | None = None, correction: str = ""
) -> Notice:
    """What a tenant is told, from its own part of a scope.

    Args:
        whole: the answer for everybody; only the tenant's own rows are used.
        incident: id of the incident.
        tenant: who is told.
        now: unix seconds.
        before: the version that this one supersedes; who got one is told also that nothing was touched.
        correction: what was wrong or is new; required with `before`.

    Raises:
        Refused: `not_affected`, or `correction_unexplained`.
    """
    own = of_tenant(whole, tenant)
    if not own.touched and not own.reach and before is None:
        raise Refused("not_affected", "Nothing of this tenant was touched or in reach.")
    if before is not None and not correction:
        raise Refused("correction_unexplained", "Say what is corrected.")
    touched = {row.sub_digest for row in own.touched}
    accepted, refused = sum(row.accepted for row in own.touched), sum(row.refused for row in own.touched)
    reach = sum(row.subjects - row.touched_subjects for row in own.reach)
    version = before.version + 1 if before is not None else 1
    name = f"{incident}\0{tenant}\0{version}"
    return Notice(
        id=hashlib.sha256(name.encode()).hexdigest()[:16],
        incident=incident,
        tenant=tenant,
        version=version,
        supersedes=before.id if before is not None else None,
        correction=correction,
        issued_at=now,
        since=own.question.since,
        until=own.question.until,
        subjects_touched=len(touched),
        uses_accepted=accepted,
        uses_refused=refused,
        subjects_in_reach=reach,
        resources=sorted({row.resource for row in own.touched if row.resource}),
        touched=own.touched[:MOST_ROWS],
        known=_known(len(touched), accepted, refused, reach),
        unknown=[UNKNOWN_HOW, *(f"{gap.about}: {gap.detail}." for gap in own.missing)],
        todo=_todo(accepted),
    )


def text_of(notice: Notice) -> str:
    """The notice as plain text."""
    head = [
        f"Security notice {notice.id}, version {notice.version}, {_day(notice.issued_at)}",
        f"To: {notice.tenant}. Incident {notice.incident}, {_day(notice.since)} to {_day(notice.until)}.",
    ]
    if notice.supersedes is not None:
        head.append(f"This corrects and replaces notice {notice.supersedes}: {notice.correction}")
    parts = (
        ("What is known", notice.known),
        *((("Where forged tokens were used", _uses(notice.touched)),) if notice.touched else ()),
        ("What is not known", notice.unknown),
        ("What to do", notice.todo),
    )
    body = [f"\n{title}\n" + "\n".join(f"- {line}" for line in lines) for title, lines in parts]
    return "\n".join([*head, *body]) + "\n"


def signed_notice(notice: Notice, signer: NoticeSigner) -> str:
    """The notice as a compact JWS (EdDSA); the payload holds the figures and the text."""
    header = {"alg": "EdDSA", "kid": signer.notice_kid(), "typ": TYPE}
    payload = {**msgspec.to_builtins(notice), "text": text_of(notice)}
    signing_input = f"{_base64url(msgspec.json.encode(header))}.{_base64url(msgspec.json.encode(payload))}"
    return f"{signing_input}.{_base64url(signer.sign_notice(signing_input.encode()))}"


def approval_details(notices: list[Notice]) -> Details:
    """What operators agree to: these notices, word for word."""
    content = [hashlib.sha256(msgspec.json.encode(notice)).hexdigest() for notice in notices]
    return {"notices": sorted(notice.id for notice in notices), "content": sorted(content)}


def changed(notice: Notice, before: Notice) -> bool:
    """Whether a notice says anything else of its tenant than the version that it would supersede. What is not
    known changes with every report, and is no reason alone.
    """
    return any(getattr(notice, name) != getattr(before, name) for name in _SAID)


_SAID = (
    *("subjects_touched", "uses_accepted", "uses_refused", "subjects_in_reach", "resources"),
    *("known", "todo", "touched"),
)


def require_sendable(
    notices: Sequence[Notice], incident: str, store: NoticeStore, approval: Approval, now: float
) -> None:
    """Refuse what cannot be sent, before anything is signed.

    The approval binds the incident and exactly these notices (`approval_details`); each must be the next
    version for its tenant, and name the one that it supersedes.

    Raises:
        Refused: `approval_mismatch`, `approval_expired`, `consents_missing`, `notice_exists` or
            `notice_outdated`.
    """
    require_approved(approval, Action.SEND_NOTICES, incident, approval_details(list(notices)), now)
    for notice in notices:
        before = store.latest(incident, notice.tenant)
        if notice.version <= (before.version if before is not None else 0):
            raise Refused("notice_exists", "This version was made already; correct it with the next.")
        if notice.supersedes != (before.id if before is not None else None):
            raise Refused("notice_outdated", "There is a newer version than the one that this supersedes.")


def publish(
    notices: list[Notice],
    incident: str,
    store: NoticeStore,
    signer: NoticeSigner,
    approval: Approval,
    now: float,
) -> list[SignedNotice]:
    """Sign and keep notices that operators have approved; returns them signed, ready for any channel.

    Raises:
        Refused: as `require_sendable`.
    """
    require_sendable(notices, incident, store, approval, now)
    made = [SignedNotice(notice, signed_notice(notice, signer)) for notice in notices]
    store.add(made)
    return made


def _known(touched: int, accepted: int, refused: int, reach: int) -> list[str]:
    if not touched and not reach:
        return ["Nothing of yours was touched or in reach, as far as is known now."]
    beside = f"{_count(reach, 'subject')} of yours could have been touched: in reach, with nothing proven."
    if not touched:
        return ["No use of a forged token was reported.", beside]
    return [
        f"Forged tokens were presented for {_count(touched, 'subject')} of yours.",
        f"Let in: {_count(accepted, 'use')}; refused: {_count(refused, 'use')}.",
        f"Beside these, {beside}" if reach else "No other subject of yours was in reach.",
    ]


def _uses(rows: list[Touched]) -> list[str]:
    """Where, when and for whom; a subject is named by SHA-256 (hex) of its `sub`, as it is reported."""
    return [
        f"subject {row.sub_digest or '(unknown)'}, {row.resource or 'no resource named'} at {row.reporter}"
        f" by {row.client_id or 'an unknown client'}, {_second(row.first_at)} to {_second(row.last_at)}:"
        f" {row.accepted} let in, {row.refused} refused"
        for row in rows
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _second(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _todo(accepted: int) -> list[str]:
    steps = [
        "Check that your validators have a manifest from after the revocation.",
        "Keep your own logs of this time.",
    ]
    return ["Treat the data of the touched subjects as read.", *steps] if accepted else steps


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
