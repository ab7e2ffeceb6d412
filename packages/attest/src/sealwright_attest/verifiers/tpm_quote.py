"""Verifying a TPM quote over PCR values: signature first, then bank, selection and digest.

It may never take a PCR's index from the attester: the selection inside the signed quote says which values the
digest covers, and a PCR that is not selected does not exist for the policy. Other verifiers hash the values
they were handed without looking at the selection; with them, PCRs 16 and 23, which anyone can reset, pass as
PCRs 0 and 1. Source: TCG TPM 2.0 Library, Part 3, TPM2_Quote.
"""

import hashlib
from collections.abc import Mapping

from sealwright_attest.errors import Code
from sealwright_attest.keys import PublicKey, require_signature
from sealwright_attest.model import Claims, EvidenceLevel, Stage

from .context import Context, check_fresh
from .tpm_structures import ALG_SHA256, HASH_NAMES, HASHES, TpmQuote, TpmSignature

PCR_SIZE = 32


def verify_quote(
    quote: TpmQuote,
    signature: TpmSignature,
    key: PublicKey,
    unverified_pcrs: Mapping[int, bytes],
    context: Context,
) -> dict[str, str]:
    """Check a quote and return the PCR values that it covers, as `pcrN` to hex.

    Args:
        quote: the parsed quote.
        signature: its signature.
        key: the attestation key; whether it is trusted is checked elsewhere.
        unverified_pcrs: values of the sha256 bank by index, as sent.
        context: the appraisal.

    Returns:
        The covered values; empty unless bank, selection and digest hold.
    """
    checks = context.checks
    checks.attempt(
        Stage.GENUINE,
        "quote.signature",
        Code.SIGNATURE_INVALID,
        "signed by the attestation key",
        lambda: require_signature(key, signature.algorithm(), signature.value, quote.raw),
        signature.algorithm(),
    )
    check_fresh(context, "quote.extra_data", quote.extra_data, context.expected.narrow)
    banks = [HASH_NAMES.get(one.bank, hex(one.bank)) for one in quote.selections]
    if not checks.expect(
        Stage.GENUINE,
        "quote.bank",
        Code.PCR_BANK,
        holds=len(quote.selections) == 1 and quote.selections[0].bank == ALG_SHA256,
        found=banks,
        asked="exactly sha256",
    ):
        return {}
    selected = quote.selections[0].pcrs
    if not checks.expect(
        Stage.GENUINE,
        "quote.selection",
        Code.PCR_SELECTION,
        holds=set(unverified_pcrs) == set(selected)
        and all(len(value) == PCR_SIZE for value in unverified_pcrs.values()),
        found=[f"{index:02}" for index in selected],
        asked=[f"{index:02}" for index in unverified_pcrs],
        fix="send exactly the PCR values that the quote selects, under their own indices",
    ):
        return {}
    joined = b"".join(unverified_pcrs[index] for index in sorted(selected))
    digest = hashlib.new(HASHES[signature.hash_algorithm], joined).digest()
    if not checks.expect(
        Stage.GENUINE,
        "quote.pcr_digest",
        Code.PCR_DIGEST,
        holds=digest == quote.pcr_digest,
        found=quote.pcr_digest,
        asked=digest,
    ):
        return {}
    return {f"pcr{index}": unverified_pcrs[index].hex() for index in sorted(selected)}


def check_session(quote: TpmQuote, context: Context) -> None:
    """Write whether the machine is still in the session in which it was admitted."""
    for name, found, asked in (
        ("quote.reset_count", quote.reset_count, context.known.reset_count),
        ("quote.restart_count", quote.restart_count, context.known.restart_count),
    ):
        if asked is not None:
            context.checks.expect(
                Stage.FRESH, name, Code.REBOOTED, holds=found == asked, found=found, asked=asked
            )


def quote_claims(quote: TpmQuote, pcrs: Mapping[str, str], ak_name: str, level: EvidenceLevel) -> Claims:
    """Return what a quote says, in the shared words."""
    return Claims(
        level=level,
        product="TPM",
        measurements=dict(pcrs),
        instance={"ak_name": ak_name},
        settings={
            "tpm": {
                "clock": quote.clock,
                "reset_count": quote.reset_count,
                "restart_count": quote.restart_count,
                "clock_safe": quote.safe,
                "firmware_version": quote.firmware_version,
                "qualified_signer": quote.qualified_signer.hex(),
                "extra_data": quote.extra_data.hex(),
            }
        },
    )
