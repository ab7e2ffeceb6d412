"""The rules that hold for every platform, and which platform's rules are applied.

It may never look at evidence: claims, policy and the record of checks are all it gets. The order of checks is
the order in which a reader wants them: what it is, whether it is allowed, what it measures.
"""

from datetime import datetime

from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Claims, EvidenceLevel, Kind, Stage

from .document import Measurements, Policy
from .maa import maa_claims
from .release import parse_release, unmet
from .rules_azure import azure_rules
from .rules_nitro import nitro_rules
from .rules_snp import snp_rules
from .rules_tdx import tdx_rules
from .rules_tpm import tpm_rules

TEE_KINDS = {Kind.SEV_SNP, Kind.TDX, Kind.AZURE, Kind.NITRO, Kind.SIMULATED}


def _measured(claims: Claims) -> dict[str, str]:
    events = claims.settings.get("events", {})
    return {**claims.measurements, **claims.image_signers, **events}


def measurement_rules(kind: Kind, claims: Claims, rules: Measurements, checks: Checks) -> None:
    """Write whether the image is accepted: not revoked, and allowed by its digest or by who signed it."""
    measured = _measured(claims)
    for one in rules.revoked:
        hits = [name for name, value in measured.items() if value == one.digest]
        if hits:
            checks.expect(
                Stage.POLICY,
                f"measurement.{hits[0]}",
                Code.MEASUREMENT_REVOKED,
                holds=False,
                found=one.digest,
                asked=f"not revoked: {one.reason}",
                grace_until=one.grace.until() if one.grace else None,
            )
    if kind not in TEE_KINDS:
        return
    launch = claims.measurements.get("launch", "")
    if rules.any:
        checks.skip(Stage.POLICY, "measurement.launch", Code.MEASUREMENT_UNKNOWN, launch, "any measurement")
        return
    label = next((one.label or "listed" for one in rules.allow if one.digest == launch), None)
    signed = [name for name, value in claims.image_signers.items() if value in rules.signers]
    code = Code.IMAGE_SIGNER_UNKNOWN if rules.signers and not rules.allow else Code.MEASUREMENT_UNKNOWN
    found = (
        f"{launch} ({label})" if label else f"{launch} (signed: {', '.join(signed)})" if signed else launch
    )
    checks.expect(
        Stage.POLICY,
        "measurement.launch",
        code,
        holds=label is not None or bool(signed),
        found=found,
        asked=f"one of {len(rules.allow)} measurements or {len(rules.signers)} image signers",
    )


def _release_rules(kind: Kind, claims: Claims, policy: Policy, checks: Checks) -> None:
    if policy.release is None:
        return
    known = maa_claims(kind, claims)
    misses: list[str] = []
    authorities = {one.rstrip("/") for one in policy.release.authorities}
    branches = [
        one for one in parse_release(policy.release.document.encode()) if one.authority in authorities
    ]
    for branch in branches:
        missing = unmet(branch.group, known)
        if not missing:
            misses = []
            break
        misses.append("; ".join(missing))
    checks.expect(
        Stage.POLICY,
        "release",
        Code.RELEASE_CONDITION,
        holds=bool(branches) and not misses,
        found=" / ".join(misses)
        or ("every claim of one branch" if branches else "no branch of a known authority"),
        asked="every claim of one branch of the release policy",
    )


def _identity_rules(kind: Kind, level: EvidenceLevel, policy: Policy, checks: Checks) -> None:
    checks.expect(
        Stage.POLICY,
        "platform",
        Code.PLATFORM_REFUSED,
        holds=kind in policy.platforms,
        found=kind.value,
        asked=[one.value for one in policy.platforms],
    )
    if level is EvidenceLevel.NONE:
        checks.skip(Stage.POLICY, "level", Code.LEVEL_TOO_LOW, level.value, "not genuine, so of no level")
        return
    checks.expect(
        Stage.POLICY,
        "level",
        Code.LEVEL_TOO_LOW,
        holds=level.rank >= policy.level.rank,
        found=level.value,
        asked=f"{policy.level.value} or better" if policy.level is not EvidenceLevel.HARDWARE else "hardware",
    )


def apply_rules(
    kind: Kind, claims: Claims, policy: Policy, checks: Checks, now: datetime, *, genuine: bool
) -> None:
    """Write every check of the policy stage.

    Args:
        kind: kind of the evidence.
        claims: what it says.
        policy: what is asked.
        checks: where to write.
        now: time of the appraisal.
        genuine: whether form and genuineness held; without that the level is `none`.
    """
    level = claims.level if genuine else EvidenceLevel.NONE
    _identity_rules(kind, level, policy, checks)
    platform_rules(kind, claims, policy, checks, now)
    measurement_rules(kind, claims, policy.measurements, checks)
    _release_rules(kind, claims, policy, checks)


def platform_rules(kind: Kind, claims: Claims, policy: Policy, checks: Checks, now: datetime) -> None:
    """Write the checks of the platform's own section."""
    if kind is Kind.SEV_SNP:
        snp_rules(claims, policy.snp, checks)
    elif kind is Kind.TDX:
        tdx_rules(claims, policy.tdx, checks)
    elif kind is Kind.AZURE:
        if claims.settings.get("tee") == "sev-snp":
            snp_rules(claims, policy.snp, checks)
        else:
            tdx_rules(claims, policy.tdx, checks, with_log=False)
        azure_rules(claims, policy, checks)
    elif kind is Kind.NITRO:
        nitro_rules(claims, policy, checks, now)
    elif kind is Kind.TPM2:
        tpm_rules(claims, policy, checks)
