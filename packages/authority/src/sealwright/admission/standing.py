"""The admission policy in force: a document, and the images that were revoked beside it.

What is in force is kept in the state, so that a restart, a second process and an auditor find the same. Pure
but for the port. May never let a revoked image back in because a document does not name it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import sealwright_attest as attest
from sealwright.admin.model import Action, ChangeRequest, Consent, Details
from sealwright.admin.rules import approval_of, require_approved
from sealwright.admission.attested import read_policy
from sealwright.admission.model import RevokedImage, StandingPolicy
from sealwright.errors import Misconfigured, Refused

NAME = "admission.policy"
MAX_REASON = 200
MAX_GRACE = 30 * 86_400
"""Seconds that those who serve may go on with a revoked image at the most."""


class Approved(Protocol):
    """What is needed of `ApprovalStore`."""

    def request(self, request_id: str) -> ChangeRequest | None:
        """One request."""
        ...

    def consents(self, request_id: str) -> list[Consent]:
        """Its consents."""
        ...


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy that evidence is appraised by, with the document that it can be read from again."""

    policy: attest.Policy
    document: str


def in_force(document: str, revoked: Sequence[RevokedImage], where: str = NAME) -> InForce:
    """A document and the images that were revoked beside it, as one policy.

    Raises:
        Misconfigured: `bad_admission_policy`.
    """
    policy = read_policy(document.encode(), where)
    if not revoked:
        return InForce(policy, document)
    table = json.loads(document) if document.lstrip().startswith("{") else tomllib.loads(document)
    if "anyOf" in table:
        text = f"{where}: a bare release document cannot say that an image is revoked; use a policy around it"
        raise Misconfigured("bad_admission_policy", text)
    measurements = dict(table.get("measurements", {}))
    measurements["revoked"] = [*measurements.get("revoked", []), *map(_rule, revoked)]
    whole = json.dumps({**table, "measurements": measurements}, sort_keys=True, default=_moment)
    return InForce(read_policy(whole.encode(), where), whole)


def _rule(image: RevokedImage) -> dict[str, Any]:
    since = datetime.fromtimestamp(image.since, UTC)
    return {
        "digest": image.digest,
        "reason": image.reason,
        "since": since.isoformat(),
        "grace_seconds": image.grace,
    }


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise Misconfigured("bad_admission_policy", f"{value!r} has no place in a policy")


def change_details(document: str, before: StandingPolicy) -> Details:
    """What operators agree to: this document in the place of that one."""
    return {"document": _digest(document), "replaces": _digest(before.document)}


def require_agreed(after: StandingPolicy, before: StandingPolicy, approvals: Approved) -> None:
    """Refuse a policy that operators did not agree to.

    Raises:
        Refused: `unknown_request`, or as `approval_of` and `require_approved` refuse.
    """
    request = approvals.request(after.request)
    if request is None:
        raise Refused("unknown_request", "nobody asked for this change of the admission policy")
    consents = [one for one in approvals.consents(after.request) if one.at <= after.since + 1]
    approval = approval_of(request, consents, after.since)
    details = change_details(after.document, before)
    require_approved(approval, Action.CHANGE_ADMISSION_POLICY, NAME, details, after.since)


def revoked_image(digest: str, reason: str, grace: int, now: float, by: str) -> RevokedImage:
    """An image that is to be revoked now.

    Raises:
        Refused: `malformed_revocation`.
    """
    image = RevokedImage(digest.lower(), reason, int(now), grace, by)
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable() or not 0 <= grace <= MAX_GRACE:
        raise Refused("malformed_revocation", "a reason of 1 to 200 characters and 0 to 30 days are needed")
    try:
        in_force('schema=1\nname="x"\nrevision="1"\nplatforms=["sev-snp"]', [image])
    except Misconfigured as error:
        raise Refused(
            "malformed_revocation", "the digest of an image is 32, 48 or 64 bytes in hex"
        ) from error
    return image


def _digest(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()
