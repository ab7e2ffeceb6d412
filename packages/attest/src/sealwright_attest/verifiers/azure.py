"""Azure confidential VMs: a vTPM quote by a key that the paravisor put into a hardware report.

The hardware report says which paravisor runs and which key its vTPM attests with; only the PCRs in the quote
say anything of the guest, and only the quote's nonce makes it fresh: the report is as old as the boot. It may
never accept the one without the other. Source: see hcl.py, sev_snp.py, tdx.py and tpm_quote.py.
"""

from dataclasses import replace
from typing import Any

from sealwright_attest.errors import Code, Refused
from sealwright_attest.model import Claims, Evidence, EvidenceLevel, Stage

from .azure_evidence import AzureEvidence, parse_azure_evidence
from .context import Context
from .hcl import (
    TD_REPORT,
    TD_REPORT_DATA,
    TYPE_SNP,
    HclReport,
    Runtime,
    parse_hcl,
    parse_runtime,
    require_bound,
)
from .sev_snp import verify_report
from .tdx import verify_quote as verify_td_quote
from .tpm2 import check_event_log
from .tpm_quote import check_session, verify_quote
from .tpm_structures import TpmQuote, parse_quote


def _hardware(
    body: AzureEvidence, hcl: HclReport, evidence: Evidence, context: Context
) -> tuple[bytes, Claims]:
    if hcl.report_type == TYPE_SNP:
        if body.vcek is not None:
            extra = (*evidence.endorsements.certificates, body.vcek)
            evidence = replace(evidence, endorsements=replace(evidence.endorsements, certificates=extra))
        report, claims = verify_report(hcl.hardware_report, evidence, context)
        return report.report_data, claims
    if body.td_quote is None:
        raise Refused(Code.ENDORSEMENT_MISSING, "a TDX machine sends a TD quote beside its report")
    if any(hcl.hardware_report[TD_REPORT:]):
        raise Refused(Code.MALFORMED, "the TD report is not padded with zeros")
    quote, claims = verify_td_quote(body.td_quote, evidence, context)
    inner = hcl.hardware_report[TD_REPORT_DATA : TD_REPORT_DATA + 64]
    context.checks.expect(
        Stage.GENUINE,
        "hcl.td_report",
        Code.HASH_MISMATCH,
        holds=inner == quote.body.report_data,
        found=inner,
        asked=quote.body.report_data,
    )
    return quote.body.report_data, claims


def _settings(runtime: Runtime, quote: TpmQuote, hardware: Claims) -> dict[str, Any]:
    return {
        **hardware.settings,
        "vm_configuration": runtime.configuration,
        "user_data": runtime.user_data,
        "runtime": runtime.document,
        "tee": "sev-snp" if hardware.product in {"Milan", "Genoa", "Turin"} else "tdx",
        "tpm": {
            "clock": quote.clock,
            "reset_count": quote.reset_count,
            "restart_count": quote.restart_count,
            "extra_data": quote.extra_data.hex(),
        },
    }


def verify(evidence: Evidence, context: Context) -> Claims:
    """Check Azure evidence and return its claims.

    Raises:
        Refused: a part cannot be read at all, or the runtime document is not the hardware report's.
    """
    body = parse_azure_evidence(evidence.unverified_body)
    hcl, quote = parse_hcl(body.hcl_report), parse_quote(body.message)
    report_data, hardware = _hardware(body, hcl, evidence, context)
    runtime = parse_runtime(require_bound(hcl.unverified_runtime, report_data))
    context.checks.expect(
        Stage.GENUINE,
        "hcl.runtime",
        Code.HASH_MISMATCH,
        holds=True,
        found=report_data[:32],
        asked="SHA-256 of the runtime document, then zeros",
    )
    pcrs = verify_quote(quote, body.signature, runtime.attestation_key, body.pcrs, context)
    log = check_event_log(evidence.unverified_event_log, pcrs, context)
    check_session(quote, context)
    machine = str(runtime.configuration.get("vmUniqueId", ""))
    settings = _settings(runtime, quote, hardware)
    return Claims(
        level=EvidenceLevel.HARDWARE,
        product=hardware.product,
        measurements={**hardware.measurements, **pcrs},
        image_signers=hardware.image_signers,
        instance={**hardware.instance, "vm_id": machine},
        settings={**settings, "event_log": log is not None, "events": log.digests("sha256") if log else {}},
    )
