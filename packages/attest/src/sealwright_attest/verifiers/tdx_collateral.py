"""Intel's collateral: CRLs, TCB info and QE identity, evaluated by dcap-qvl at the time of the appraisal.

It may never accept what dcap-qvl merely returns: the TCB status is a claim here, and the policy decides on
it. It may never fetch anything. Source: Intel PCS API version 4; dcap-qvl's QuoteVerifier.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import dcap_qvl
from sealwright_attest.crl import parse_crl
from sealwright_attest.errors import Code, Refused
from sealwright_attest.octets import strict_object
from sealwright_attest.verifiers.tdx_quote import TdxQuote
from sealwright_attest.x509 import Certificate

MEMBERS: Final = {
    "pck_crl_issuer_chain", "root_ca_crl", "pck_crl", "tcb_info_issuer_chain", "tcb_info",
    "tcb_info_signature", "qe_identity_issuer_chain", "qe_identity", "qe_identity_signature",
    "pck_certificate_chain",
}  # fmt: skip

# What dcap-qvl says in its exception text, in the order looked for. Anything else is collateral-invalid.
_REASONS: Final = (
    ("debug", Code.DEBUG),
    ("SEPT_VE_DISABLE", Code.TD_ATTRIBUTES),
    ("TD attributes", Code.TD_ATTRIBUTES),
    ("service TD", Code.SERVICE_TD),
    ("No matching TCB level", Code.TCB_UNKNOWN),
    ("TCB status", Code.TCB_STATUS),
    ("issue date is in the future", Code.COLLATERAL_NOT_YET_VALID),
    ("CertNotValidYet", Code.COLLATERAL_NOT_YET_VALID),
    ("expired", Code.COLLATERAL_EXPIRED),
    ("CertExpired", Code.COLLATERAL_EXPIRED),
    ("CrlExpired", Code.COLLATERAL_EXPIRED),
    ("CertRevoked", Code.CERTIFICATE_REVOKED),
    ("revoked", Code.CERTIFICATE_REVOKED),
    ("mspc mismatch", Code.COLLATERAL_MISMATCH),
    ("PCE", Code.COLLATERAL_MISMATCH),
    ("non-TDX TCB info", Code.COLLATERAL_MISMATCH),
)


@dataclass(frozen=True, slots=True)
class Tcb:
    """What the collateral says about the platform.

    Attributes:
        status: the merged TCB status, in Intel's words.
        advisories: security advisories that apply.
        evaluation: the lower of the two TCB evaluation data numbers.
        outdated_since: when the level that this platform fails to reach was published; None if reached.
        ppid: platform provisioning identity, hex.
        platform_instance: platform instance identity, hex, or empty.
        fmspc: platform family, hex.
        smt: whether hyperthreading is on, as far as the PCK certificate says.
    """

    status: str
    advisories: tuple[str, ...]
    evaluation: int
    outdated_since: datetime | None
    ppid: str
    platform_instance: str
    fmspc: str
    smt: bool


def _reason(text: str) -> Code:
    lowered = text.lower()
    return next((code for word, code in _REASONS if word.lower() in lowered), Code.COLLATERAL_INVALID)


def _outdated_since(collateral: dict[str, Any], level_date: str, status: str) -> datetime | None:
    if status == "UpToDate":
        return None
    levels = strict_object(collateral["tcb_info"].encode()).get("tcbLevels", [])
    dates = sorted(one["tcbDate"] for one in levels if one.get("tcbStatus") == "UpToDate")
    newer = [one for one in dates if one > level_date] or [level_date]
    return datetime.fromisoformat(newer[0])


def _is_revoked(collateral: dict[str, Any], chain: Sequence[Certificate]) -> bool:
    serials = {one.serial for one in chain}
    for name in ("pck_crl", "root_ca_crl"):
        try:
            if serials & parse_crl(bytes.fromhex(collateral.get(name, ""))).serials:
                return True
        except (Refused, ValueError):
            continue
    return False


def evaluate(
    quote: TdxQuote,
    unverified_collateral: bytes,
    chain: Sequence[Certificate],
    root: Certificate,
    now: datetime,
) -> Tcb:
    """Verify the quote with its collateral at `now`, up to the given root.

    Args:
        quote: the parsed quote.
        unverified_collateral: QuoteCollateralV3 as JSON.
        chain: the quote's PCK chain, only to name a revocation as the reason of a failure.
        root: Intel's root, or a test's.
        now: time of the appraisal.

    Raises:
        Refused: with the code of what failed.
    """
    table = strict_object(unverified_collateral)
    if not set(table) <= MEMBERS or not all(isinstance(value, str) for value in table.values()):
        raise Refused(Code.COLLATERAL_INVALID, "the collateral has unknown members")
    seconds = int(now.timestamp())
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(unverified_collateral.decode())
        verifier = dcap_qvl.QuoteVerifier(root.raw)
        policy = dcap_qvl.QuotePolicy.claims_only(seconds)
        claims = json.loads(verifier.verify_with_policy(quote.raw, collateral, seconds, policy).to_json())
    except ValueError as err:
        code = _reason(str(err))
        if code is Code.COLLATERAL_INVALID and _is_revoked(table, chain):
            code = Code.CERTIFICATE_REVOKED
        raise Refused(code, "the quote does not verify with its collateral", str(err)) from err
    platform, pck = claims["platform"], claims["platform"]["pck"]
    evaluation = min(claims["tcb"]["eval_data_number"], claims["qe"]["tcb_eval_data_number"])
    return Tcb(
        status=claims["tcb"]["status"],
        advisories=tuple(claims["tcb"]["advisory_ids"]),
        evaluation=evaluation,
        outdated_since=_outdated_since(table, platform["tcb_level"]["tcbDate"], claims["tcb"]["status"]),
        ppid=bytes(pck["ppid"]).hex(),
        platform_instance=bytes(pck["platform_instance_id"] or []).hex(),
        fmspc=bytes(pck["fmspc"]).hex(),
        smt=pck["smt_enabled"] == "True",
    )
