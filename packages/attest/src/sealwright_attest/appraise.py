"""The appraisal: evidence, nonce, policy and time in; a result with every check out.

It may never raise for what the evidence contains: whatever is wrong there is a failed check in the result. It
reads no clock, no network and no file but the shipped roots, so that the same arguments give the same result
for ever.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from .binding import expected_for
from .bundle import require_sizes
from .checks import Checks
from .errors import Code, Misconfigured, Refused
from .model import (
    NO_CLAIMS,
    AttestationResult,
    Check,
    Claims,
    Evidence,
    EvidenceLevel,
    Kind,
    Outcome,
    Shadow,
    Stage,
    Verdict,
)
from .policy.document import Policy
from .policy.rules import apply_rules
from .roots import Anchors, pinned
from .verifiers import azure, nitro, sev_snp, simulated, tdx, tpm2
from .verifiers.context import NOTHING_KNOWN, Context, Known

_VERIFIERS: Final[dict[Kind, Callable[[Evidence, Context], Claims]]] = {
    Kind.SEV_SNP: sev_snp.verify,
    Kind.TDX: tdx.verify,
    Kind.AZURE: azure.verify,
    Kind.NITRO: nitro.verify,
    Kind.TPM2: tpm2.verify,
    Kind.SIMULATED: simulated.verify,
}
# What is asked where evidence cannot be read at all; anything else is about its form.
_ASKED: Final = {
    Code.ENDORSEMENT_MISSING: "the endorsement of this machine by its maker",
    Code.ENDORSEMENT_MISMATCH: "the endorsement of this very machine by its maker",
    Code.TOO_LARGE: "no more than docs/formats/attestation-evidence.md allows",
    Code.VERSION_UNKNOWN: "a version that this verifier knows",
    Code.PCR_BANK: "one quote over sha256",
}


@dataclass(frozen=True, slots=True)
class _Decision:
    verdict: Verdict
    genuine: bool
    bound: bool
    checks: tuple[Check, ...]
    claims: Claims


def _soften(checks: tuple[Check, ...], warn_only: tuple[Code, ...]) -> tuple[Check, ...]:
    return tuple(
        replace(one, outcome=Outcome.WARNED)
        if one.outcome is Outcome.FAILED and one.stage is Stage.POLICY and one.code in warn_only
        else one
        for one in checks
    )


def _verdict(checks: tuple[Check, ...], now: datetime) -> Verdict:
    failed = [one for one in checks if one.outcome is Outcome.FAILED]
    if not failed:
        return Verdict.ACCEPTED
    if all(one.grace_until is not None and now < one.grace_until for one in failed):
        return Verdict.GRACE
    return Verdict.REFUSED


def _decide(evidence: Evidence, context: Context) -> _Decision:
    checks, claims = context.checks, NO_CLAIMS
    try:
        require_sizes(evidence)
        claims = _VERIFIERS[evidence.kind](evidence, context)
    except Refused as refusal:
        asked = _ASKED.get(refusal.code, f"evidence as {evidence.kind.value} gives it")
        checks.refuse(Stage.FORM, f"{evidence.kind.value}.evidence", refusal, asked)
    failed = {one.stage for one in checks.all() if one.outcome is Outcome.FAILED}
    genuine = not failed & {Stage.FORM, Stage.GENUINE}
    if claims is not NO_CLAIMS:
        apply_rules(evidence.kind, claims, context.policy, checks, context.now, genuine=genuine)
    softened = _soften(checks.all(), context.policy.warn_only)
    fresh = genuine and Stage.FRESH not in failed and context.expected.nonce is not None
    verdict = _verdict(softened, context.now)
    return _Decision(verdict, genuine, fresh and context.expected.bound, softened, claims)


def appraise_with_anchors(
    evidence: Evidence,
    *,
    nonce: bytes | None,
    policy: Policy,
    now: datetime,
    anchors: Anchors,
    known: Known = NOTHING_KNOWN,
    shadow: Policy | None = None,
) -> AttestationResult:
    """Appraise with roots other than the shipped ones. For tests, and for whoever runs a platform root of
    their own.

    Arguments, result and errors are those of `appraise`.
    """
    if now.tzinfo is None:
        raise Misconfigured("now must have a time zone")
    now = now.astimezone(UTC)
    expected = expected_for(evidence, nonce)
    decision = _decide(evidence, Context(now, policy, expected, anchors, known, Checks()))
    other = None
    if shadow is not None:
        seen = _decide(evidence, Context(now, shadow, expected, anchors, known, Checks()))
        failed = tuple(one for one in seen.checks if one.outcome is Outcome.FAILED)
        other = Shadow(shadow.hash(), shadow.title(), seen.verdict, failed)
    return AttestationResult(
        kind=evidence.kind,
        verdict=decision.verdict,
        level=decision.claims.level if decision.genuine else EvidenceLevel.NONE,
        genuine=decision.genuine and evidence.kind is not Kind.SIMULATED,
        checks=decision.checks,
        claims=decision.claims,
        evidence_hash=hashlib.sha256(evidence.unverified_body).hexdigest(),
        policy_name=policy.title(),
        policy_hash=policy.hash(),
        evaluated_at=now,
        nonce=nonce,
        identity_key=evidence.unverified_identity_key if decision.bound else None,
        release_key=evidence.unverified_release_key or None if decision.bound else None,
        shadow=other,
    )


def appraise(
    evidence: Evidence,
    *,
    nonce: bytes | None,
    policy: Policy,
    now: datetime,
    known: Known = NOTHING_KNOWN,
    shadow: Policy | None = None,
) -> AttestationResult:
    """Decide whether evidence is genuine, fresh, and what the policy asks for.

    Args:
        evidence: what was sent; nothing in it is trusted.
        nonce: the bytes that the appraiser gave out for this appraisal, or None where the policy allows that.
            With an
            identity key in the evidence it has 16 to 64 bytes, else 1 to 512.
        policy: what is asked for; `BUILT_IN` asks for genuine, current, not debug, any measurement.
        now: the time of the appraisal, with its zone. Pass a recorded time to repeat an old appraisal.
        known: what the appraiser remembers: enrolled and activated attestation keys, reboot counters.
        shadow: a second policy whose decision is recorded and does not count.

    Returns:
        The result. It is `accepted` only if no check failed.

    Raises:
        Misconfigured: nonce, time, or a shipped root is unusable. Never for what the evidence contains.
    """
    return appraise_with_anchors(
        evidence, nonce=nonce, policy=policy, now=now, anchors=pinned(), known=known, shadow=shadow
    )
