"""Who is admitted, for how long, and when that is renewed. Pure.

An incarnation is admitted when its log id and origin are those of its identity key, it runs the policy that
it was started with, and its evidence reaches the level that is asked for. A level is never rounded up.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Mapping
from typing import Any

from sealwright.admission.documents import log_id_of, spki_of
from sealwright.admission.model import Admission, AdmissionPolicy, Appraisal, Candidate, Evidence, digest
from sealwright.errors import Refused
from sealwright_attest import Refused as NotUnderstood
from sealwright_attest import parse_bundle, report_data


def require_own_names(candidate: Candidate, origin_prefix: str) -> None:
    """Refuse a candidate whose names are not derived from its identity key.

    Raises:
        Refused: `identity_not_bound`.
    """
    try:
        log_id = log_id_of(candidate.jwk)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Refused("identity_not_bound", "the identity key is no Ed25519 public JWK") from error
    if candidate.log_id != log_id or candidate.origin != f"{origin_prefix}/{log_id}":
        detail = f"{candidate.log_id} {candidate.origin}, expected {origin_prefix}/{log_id}"
        raise Refused("identity_not_bound", "log id and origin are not those of the identity key", detail)


def require_policy(candidate: Candidate, expected_digest: str) -> None:
    """Refuse a signer that runs another policy than the one it was started with.

    Raises:
        Refused: `policy_differs`.
    """
    if candidate.policy_digest != expected_digest:
        detail = f"{candidate.policy_digest}, expected {expected_digest}"
        raise Refused("policy_differs", "the signer runs another policy than it was started with", detail)


def require_binding(candidate: Candidate, evidence: Evidence) -> None:
    """Refuse evidence that was collected for another identity key or nonce; the rule is that of
    `sealwright_attest`.

    Call it after `require_own_names`, which makes sure of the identity key's form.

    Raises:
        Refused: `evidence_not_bound`.
    """
    release = _release_key(evidence)
    bound = report_data(bytes.fromhex(evidence.nonce), spki_of(candidate.jwk), release).hex()
    if evidence.binding != bound:
        raise Refused(
            "evidence_not_bound", "the evidence is not bound to this signer's identity key and our nonce"
        )


def _release_key(evidence: Evidence) -> bytes:
    """The key that the evidence claims to bind beside the identity key; whether it does, appraisal says."""
    try:
        return parse_bundle(evidence.evidence.encode()).unverified_release_key
    except NotUnderstood:  # evidence of the kind `none`; anything else is refused where it is appraised
        return b""


def require_level(appraisal: Appraisal, policy: AdmissionPolicy) -> None:
    """Refuse evidence below the level that is asked for.

    Raises:
        Refused: `evidence_too_weak`.
    """
    if appraisal.level.rank < policy.evidence.rank:
        raise Refused(
            "evidence_too_weak",
            f'this signer\'s evidence is worth "{appraisal.level}", and "{policy.evidence}" is asked for; '
            "run it where such evidence exists, or ask for less (admission.evidence)",
        )


def require_no_grace(appraisal: Appraisal) -> None:
    """Refuse a newcomer whose evidence only passes for those who were admitted before a rule came into force.

    Raises:
        Refused: `evidence_refused`.
    """
    if appraisal.grace_until is not None:
        raise Refused(
            "evidence_refused",
            "this signer's evidence is in a time of grace, which is for those already admitted",
        )


def statement_of(
    candidate: Candidate, appraisal: Appraisal, result: Mapping[str, Any], policy: AdmissionPolicy, now: float
) -> dict[str, Any]:
    """The payload of an admission (docs/formats/key-manifest.md)."""
    at = int(now)
    end = at + policy.lifetime
    return {
        "incarnation": candidate.log_id,
        "origin": candidate.origin,
        "jwk": candidate.jwk,
        "evidence": str(appraisal.level),
        "result": digest(result),
        "policy": digest(policy.document()),
        "admitted_at": at,
        "expires_at": end if appraisal.grace_until is None else min(end, appraisal.grace_until),
    }


def renewal_due(admission: Admission, now: float, recheck: float = math.inf) -> bool:
    """Whether half of an admission's time is over, or `recheck` seconds of it."""
    half = (admission.admitted_at + admission.expires_at) / 2
    return now >= min(half, admission.admitted_at + recheck)
