"""AMD SEV-SNP: is this report genuine, and what does it say?

It may never believe a byte outside the signature, a root that came with the evidence, or the report's own
word about its TCB: the endorsement key must be the one derived for that TCB on that chip. Source: AMD 56860
and 57230; notes on what other verifiers missed are in docs/attestation.md.
"""

from functools import partial
from typing import Any

from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import Algorithm, ecdsa_raw, require_signature
from sealwright_attest.model import Claims, Evidence, EvidenceLevel, Stage
from sealwright_attest.policy.document import Need
from sealwright_attest.x509 import period, require_valid_at

from .amd_keys import (
    EndorsementKey,
    amd_chain,
    find_endorsement_key,
    provider,
    require_endorses,
    require_no_revocation,
)
from .context import Context, check_fresh
from .snp_report import SnpReport, parse_report, signature_numbers, tcb_components


def require_report_signature(report: SnpReport, key: EndorsementKey) -> None:
    """Refuse a report that this key did not sign (ECDSA P-384 over SHA-384 of the first 0x2A0 bytes)."""
    r, s = signature_numbers(report.raw)
    require_signature(key.certificate.public_key(), Algorithm.ECDSA_SHA384, ecdsa_raw(r, s), report.signed)


def verify_report(unverified_report: bytes, evidence: Evidence, context: Context) -> tuple[SnpReport, Claims]:
    """Check one report against its endorsement key and write every check; Azure uses this for its inner
    report.

    Raises:
        Refused: the report or the endorsements cannot be read at all.
    """
    checks = context.checks
    report = parse_report(unverified_report)
    checks.expect(
        Stage.FORM, "report.version", Code.VERSION_UNKNOWN, holds=True, found=report.version, asked="2 to 5"
    )
    key = find_endorsement_key(evidence.endorsements.certificates, report, context.now)
    chain = []

    def build() -> None:
        chain.extend(amd_chain(key, context.anchors))

    built = checks.attempt(
        Stage.GENUINE,
        "endorsement.chain",
        Code.CHAIN_UNTRUSTED,
        f"signed down from the pinned ARK-{key.product}",
        build,
        f"{key.kind.upper()} of {key.product}",
    )
    for certificate in chain or [key.certificate]:
        checks.attempt(
            Stage.GENUINE,
            f"endorsement.validity.{certificate.common_name()}",
            Code.CERTIFICATE_EXPIRED,
            f"valid at {context.now.isoformat()}",
            partial(require_valid_at, certificate, context.now),
            period(certificate),
        )
    if built:
        _check_revocation(chain, evidence, context)
    checks.attempt(
        Stage.GENUINE,
        "endorsement.match",
        Code.ENDORSEMENT_MISMATCH,
        "key kind, product, TCB and chip of the report",
        lambda: require_endorses(key, report),
    )
    checks.attempt(
        Stage.GENUINE,
        "report.signature",
        Code.SIGNATURE_INVALID,
        "ECDSA P-384 by the endorsement key",
        lambda: require_report_signature(report, key),
    )
    return report, claims_of(report, key)


def _check_revocation(chain: list[Any], evidence: Evidence, context: Context) -> None:
    crls = evidence.endorsements.crls
    if not crls and context.policy.snp.crl is Need.OPTIONAL:
        context.checks.skip(
            Stage.GENUINE, "endorsement.revocation", Code.CRL_MISSING, "no list came along", "optional"
        )
        return
    context.checks.attempt(
        Stage.GENUINE,
        "endorsement.revocation",
        Code.CERTIFICATE_REVOKED,
        "not on the ARK's revocation list",
        lambda: require_no_revocation(chain, crls, context.now),
        "not revoked",
    )


def claims_of(report: SnpReport, key: EndorsementKey) -> Claims:
    """Return what a report says, in the shared words."""
    product = report.product or key.product
    try:
        csp = provider(key)
    except Refused:
        csp = ""
    signers = {"id_key": report.id_key_digest.hex()}
    if report.author_key_enabled:
        signers["author_key"] = report.author_key_digest.hex()
    return Claims(
        level=EvidenceLevel.HARDWARE,
        product=product,
        measurements={"launch": report.measurement.hex()},
        image_signers={name: value for name, value in signers.items() if value.strip("0")},
        instance={"chip_id": report.chip_id.hex(), "report_id": report.report_id.hex()},
        settings={
            "report_version": report.version,
            "signing_key": key.kind,
            "provider": csp,
            "vmpl": report.vmpl,
            "guest_svn": report.guest_svn,
            "guest": report.guest_bits(),
            "platform": report.platform_bits(),
            "family_id": report.family_id.hex(),
            "image_id": report.image_id.hex(),
            "host_data": report.host_data.hex(),
            "report_data": report.report_data.hex(),
            "author_key_enabled": report.author_key_enabled,
            "author_key_digest": report.author_key_digest.hex(),
            "id_key_digest": report.id_key_digest.hex(),
            "tcb": {
                "reported": tcb_components(product, report.reported_tcb),
                "committed": tcb_components(product, report.committed_tcb),
                "launch": tcb_components(product, report.launch_tcb),
                "current": tcb_components(product, report.current_tcb),
            },
            "firmware": {"current": report.current_firmware, "committed": report.committed_firmware},
            "mitigations": {"launch": report.launch_mitigations, "current": report.current_mitigations},
        },
    )


def verify(evidence: Evidence, context: Context) -> Claims:
    """Check SEV-SNP evidence and return its claims.

    Raises:
        Refused: the report or the endorsements cannot be read at all.
    """
    report, claims = verify_report(evidence.unverified_body, evidence, context)
    check_fresh(context, "report.report_data", report.report_data, context.expected.wide)
    return claims
