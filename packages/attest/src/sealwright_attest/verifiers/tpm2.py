"""TPM 2.0: is this quote by an attestation key that is trusted, over PCRs that were really quoted?

It may never trust a key because it came with the evidence: a certificate chain to a root, an activation that
the appraiser recorded, or an enrolment must say so. A key that is not restricted could sign a forged quote,
so its attributes are checked before anything it signed. Source: TCG TPM 2.0 Library; TCG EK Credential
Profile.
"""

from sealwright_attest.errors import Code, Refused
from sealwright_attest.keys import Algorithm, PublicKey
from sealwright_attest.model import Claims, Evidence, EvidenceLevel, Stage
from sealwright_attest.policy.document import TpmRules
from sealwright_attest.x509 import Certificate, build_chain, parse_certificate, require_valid_at, split_pem

from .context import Context
from .event_log import EventLog, parse_event_log, require_replay
from .tpm_evidence import parse_tpm_evidence
from .tpm_quote import check_session, quote_claims, verify_quote
from .tpm_structures import (
    AK_ATTRIBUTES,
    ALG_NULL,
    DECRYPT,
    TpmPublic,
    TpmSignature,
    parse_public,
    parse_quote,
    parse_signature,
)

TPM_ALGORITHMS = frozenset(Algorithm) - {Algorithm.PSS_SHA384_SALT48}


def require_attributes(public: TpmPublic) -> None:
    """Refuse a key that could sign something else than what its TPM attests.

    Raises:
        Refused: `ak-unfit`.
    """
    if public.attributes & AK_ATTRIBUTES != AK_ATTRIBUTES or public.attributes & DECRYPT:
        names = " ".join(public.attribute_names()) or "none"
        raise Refused(Code.AK_UNFIT, "the attestation key does not have the needed attributes", names)


def require_fit(public: TpmPublic, signature: TpmSignature) -> None:
    """Refuse a key without the attributes, or a signature with another scheme than the key's own.

    Raises:
        Refused: `ak-unfit`.
    """
    require_attributes(public)
    used = (signature.scheme, signature.hash_algorithm)
    if public.scheme != ALG_NULL and (public.scheme, public.scheme_hash) != used:
        raise Refused(Code.AK_UNFIT, "the quote is signed with another scheme than the key's")


def policy_roots(rules: TpmRules) -> tuple[list[Certificate], list[Certificate]]:
    """Return the roots that a policy adds: those of virtual TPMs, and those of makers of real ones."""

    def read(pems: list[str]) -> list[Certificate]:
        return [parse_certificate(der) for pem in pems for der in split_pem(pem.encode())]

    return read(list(rules.roots.values())), read(list(rules.hardware_roots.values()))


def certified_level(
    key: PublicKey, unverified_certificates: tuple[bytes, ...], context: Context
) -> EvidenceLevel:
    """Return the level that the certificate chain of this key stands for.

    Raises:
        Refused: `endorsement-missing` when no certificate is for this key; else as chains are refused.
    """
    certificates = [parse_certificate(one) for one in unverified_certificates]
    leaf = next((one for one in certificates if one.public_key() == key), None)
    if leaf is None:
        raise Refused(Code.ENDORSEMENT_MISSING, "no certificate for this attestation key came along")
    return _chained_level(leaf, certificates, context)


def activated_level(pem: str, context: Context) -> EvidenceLevel:
    """Return the level that the certificate of an activated key's endorsement key stands for.

    Raises:
        Refused: as chains are refused.
    """
    certificates = [parse_certificate(der) for der in split_pem(pem.encode())]
    return _chained_level(certificates[0], certificates, context)


def _chained_level(leaf: Certificate, certificates: list[Certificate], context: Context) -> EvidenceLevel:
    virtual, hardware = policy_roots(context.policy.tpm)
    anchors = [*context.anchors.tpm, *virtual, *hardware]
    pool = [*(one for one in certificates if one is not leaf), *context.anchors.tpm_intermediates]
    chain = build_chain(leaf, pool, anchors, TPM_ALGORITHMS)
    for certificate in chain:
        require_valid_at(certificate, context.now)
    is_hardware = any(one.raw == chain[-1].raw for one in hardware)
    return EvidenceLevel.HARDWARE if is_hardware else EvidenceLevel.VIRTUAL_TPM


def check_ak_trust(
    public: TpmPublic, unverified_certificates: tuple[bytes, ...], context: Context
) -> EvidenceLevel:
    """Write how the attestation key is trusted, and return the level that follows; `none` when it is not."""
    name, ways, known = public.name.hex(), context.policy.tpm.ak, context.known
    asked = "trusted by " + " or ".join(ways)
    level, found, code = EvidenceLevel.NONE, f"key {name}", Code.AK_UNTRUSTED
    if "enrolled" in ways and (name in known.enrolled or name in context.policy.tpm.enrolled):
        level, found = EvidenceLevel.VIRTUAL_TPM, f"enrolled, key {name}"
    elif "activated" in ways and name in known.activated:
        record = known.activated[name]
        level = EvidenceLevel.HARDWARE if record.hardware else EvidenceLevel.VIRTUAL_TPM
        found = f"activated against its endorsement key, key {name}"
    else:
        try:
            if "activated" in ways and name in context.policy.tpm.activated:
                level = activated_level(context.policy.tpm.activated[name], context)
                found = f"activated against a certified endorsement key, key {name}"
            elif "certificate" in ways and unverified_certificates:
                level = certified_level(public.key, unverified_certificates, context)
                found = "certificate chain to a trusted root"
        except Refused as refusal:
            code, found = refusal.code, f"{refusal.public} {refusal.detail}".strip()
    context.checks.expect(
        Stage.GENUINE, "ak.trust", code, holds=level is not EvidenceLevel.NONE, found=found, asked=asked
    )
    return level


def check_event_log(unverified_log: bytes, pcrs: dict[str, str], context: Context) -> EventLog | None:
    """Write whether the log leads to the quoted PCRs; return it only if it does."""
    if not unverified_log:
        return None
    logs: list[EventLog] = []

    def replay() -> None:
        log = parse_event_log(unverified_log)
        require_replay(log, "sha256", {int(name[3:]): value for name, value in pcrs.items()})
        logs.append(log)

    context.checks.attempt(
        Stage.GENUINE, "event_log.replay", Code.EVENT_LOG_MISMATCH, "leads to the quoted PCRs", replay
    )
    return logs[0] if logs else None


def verify(evidence: Evidence, context: Context) -> Claims:
    """Check TPM evidence and return its claims.

    Raises:
        Refused: the evidence cannot be read at all.
    """
    body = parse_tpm_evidence(evidence.unverified_body)
    public, quote = parse_public(body.ak_public), parse_quote(body.message)
    signature = parse_signature(body.signature)
    context.checks.attempt(
        Stage.GENUINE,
        "ak.attributes",
        Code.AK_UNFIT,
        "fixedTPM fixedParent sensitiveDataOrigin restricted sign, not decrypt",
        lambda: require_fit(public, signature),
        " ".join(public.attribute_names()),
    )
    level = check_ak_trust(public, (*evidence.endorsements.certificates, *body.ak_certificates), context)
    pcrs = verify_quote(quote, signature, public.key, body.pcrs, context)
    log = check_event_log(evidence.unverified_event_log or body.event_log, pcrs, context)
    check_session(quote, context)
    claims = quote_claims(quote, pcrs, public.name.hex(), level)
    settings = {**claims.settings, "ak_attributes": public.attribute_names(), "event_log": log is not None}
    events = log.digests("sha256") if log else {}
    return Claims(
        level, claims.product, claims.measurements, {}, claims.instance, {**settings, "events": events}
    )
