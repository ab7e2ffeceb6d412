"""Intel TDX: is this quote genuine, what does the TD measure, and how current is the platform?

Two verifiers look at the quote: our own follows the signatures to the pinned root, so that a missing or stale
collateral is told apart from a forgery; dcap-qvl then evaluates CRLs, TCB info and QE identity. Both must
agree. It may never believe RTMRs to say more than the log that leads to them. Source: see tdx_quote and
tdx_collateral.
"""

from functools import partial

from sealwright_attest.errors import Code, Refused
from sealwright_attest.model import Claims, Evidence, EvidenceLevel, Stage
from sealwright_attest.x509 import Certificate, parse_certificate, period, require_valid_at, split_pem

from .context import Context, check_fresh
from .event_log import EventLog, parse_event_log, require_replay
from .tdx_collateral import Tcb, evaluate
from .tdx_quote import (
    TdReport,
    TdxQuote,
    parse_quote,
    pck_chain,
    require_intel_module,
    require_qe,
    require_quote_signature,
)

CCEL_MRTD = 0


def verify_quote(unverified_quote: bytes, evidence: Evidence, context: Context) -> tuple[TdxQuote, Claims]:
    """Check one quote with its collateral and write every check; Azure uses this for its inner quote.

    Raises:
        Refused: the quote cannot be read at all.
    """
    checks = context.checks
    quote = parse_quote(unverified_quote)
    checks.expect(
        Stage.FORM, "quote.version", Code.VERSION_UNKNOWN, holds=True, found=quote.version, asked="4 or 5"
    )
    pck = parse_certificate(split_pem(quote.pck_chain_pem)[0])
    chain = _check_chain(quote, pck, context)
    checks.attempt(
        Stage.GENUINE,
        "quote.quoting_enclave",
        Code.SIGNATURE_INVALID,
        "certified by the PCK, and maker of the attestation key",
        lambda: require_qe(quote, pck),
    )
    checks.attempt(
        Stage.GENUINE,
        "quote.signature",
        Code.SIGNATURE_INVALID,
        "ECDSA P-256 by the attestation key",
        lambda: require_quote_signature(quote),
    )
    checks.attempt(
        Stage.GENUINE,
        "quote.module",
        Code.MALFORMED,
        "a TDX module by Intel",
        lambda: require_intel_module(quote.body),
    )
    tcb = _check_collateral(quote, chain, evidence, context)
    return quote, claims_of(quote, tcb)


def _check_chain(quote: TdxQuote, pck: Certificate, context: Context) -> list[Certificate]:
    chain: list[Certificate] = []
    context.checks.attempt(
        Stage.GENUINE,
        "pck.chain",
        Code.CHAIN_UNTRUSTED,
        "signed down from the pinned Intel SGX Root CA",
        lambda: chain.extend(pck_chain(quote, context.anchors.intel)),
    )
    for certificate in chain or [pck]:
        context.checks.attempt(
            Stage.GENUINE,
            f"pck.validity.{certificate.common_name().replace(' ', '-')}",
            Code.CERTIFICATE_EXPIRED,
            f"valid at {context.now.isoformat()}",
            partial(require_valid_at, certificate, context.now),
            period(certificate),
        )
    return chain


def _check_collateral(
    quote: TdxQuote, chain: list[Certificate], evidence: Evidence, context: Context
) -> Tcb | None:
    found: list[Tcb] = []

    def step() -> None:
        collateral = evidence.endorsements.collateral
        if collateral is None:
            raise Refused(Code.ENDORSEMENT_MISSING, "no collateral came along")
        found.append(evaluate(quote, collateral, chain, context.anchors.intel, context.now))

    context.checks.attempt(
        Stage.GENUINE,
        "collateral",
        Code.COLLATERAL_INVALID,
        "CRLs, TCB info and QE identity by Intel, current at now",
        step,
    )
    return found[0] if found else None


def check_event_log(unverified_log: bytes, body: TdReport, context: Context) -> EventLog | None:
    """Write whether the CCEL log leads to the RTMRs; return it only if it does. Log index 1 to 4 is RTMR 0 to
    3.
    """
    if not unverified_log:
        return None
    logs: list[EventLog] = []

    def replay() -> None:
        log = parse_event_log(unverified_log)
        require_replay(log, "sha384", {index + 1: value.hex() for index, value in enumerate(body.rtmrs)})
        logs.append(log)

    context.checks.attempt(
        Stage.GENUINE, "event_log.replay", Code.EVENT_LOG_MISMATCH, "leads to the RTMRs", replay
    )
    return logs[0] if logs else None


def claims_of(quote: TdxQuote, tcb: Tcb | None) -> Claims:
    """Return what a quote says, in the shared words."""
    body = quote.body
    registers = {"launch": body.mr_td, "mrtd": body.mr_td}
    registers |= {f"rtmr{index}": value for index, value in enumerate(body.rtmrs)}
    instance = {"ppid": tcb.ppid, "platform_instance": tcb.platform_instance} if tcb else {}
    settings = {
        "quote_version": quote.version,
        "td_attributes": body.attributes(),
        "mr_seam": body.mr_seam.hex(),
        "mr_config_id": body.mr_config_id.hex(),
        "mr_owner": body.mr_owner.hex(),
        "mr_owner_config": body.mr_owner_config.hex(),
        "mr_service_td": body.mr_service_td.hex(),
        "xfam": body.xfam.hex(),
        "tee_tcb_svn": body.tee_tcb_svn.hex(),
        "report_data": body.report_data.hex(),
    }
    if tcb is not None:
        settings |= {
            "tcb_status": tcb.status,
            "advisories": list(tcb.advisories),
            "tcb_evaluation": tcb.evaluation,
            "tcb_outdated_since": tcb.outdated_since.isoformat() if tcb.outdated_since else "",
            "fmspc": tcb.fmspc,
            "smt": tcb.smt,
        }
    return Claims(
        level=EvidenceLevel.HARDWARE,
        product="TDX",
        measurements={name: value.hex() for name, value in registers.items()},
        image_signers={"mr_owner": body.mr_owner.hex()} if any(body.mr_owner) else {},
        instance={name: value for name, value in instance.items() if value},
        settings=settings,
    )


def verify(evidence: Evidence, context: Context) -> Claims:
    """Check TDX evidence and return its claims.

    Raises:
        Refused: the quote cannot be read at all.
    """
    quote, claims = verify_quote(evidence.unverified_body, evidence, context)
    check_fresh(context, "quote.report_data", quote.body.report_data, context.expected.wide)
    log = check_event_log(evidence.unverified_event_log, quote.body, context)
    settings = {
        **claims.settings,
        "event_log": log is not None,
        "events": log.digests("sha384") if log else {},
    }
    return Claims(
        claims.level, claims.product, claims.measurements, claims.image_signers, claims.instance, settings
    )
