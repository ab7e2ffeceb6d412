"""Results as plain JSON values, for ledgers, logs and the command line.

It may never leave out a failed check. Source: docs/formats/attestation-result.md.
"""

from datetime import datetime
from typing import Any, Final

from .model import AttestationResult, Check, Claims

FORMAT: Final = "sealwright-attestation-result/1"


def moment(value: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC, or None."""
    return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_record(check: Check) -> dict[str, Any]:
    """Return one check."""
    record = {
        "stage": check.stage.value,
        "field": check.field,
        "outcome": check.outcome.value,
        "code": check.code.value,
        "found": check.found,
        "asked": check.asked,
    }
    if check.fix:
        record["fix"] = check.fix
    if check.grace_until is not None:
        record["grace_until"] = moment(check.grace_until) or ""
    return record


def claims_record(claims: Claims) -> dict[str, Any]:
    """Return claims."""
    return {
        "product": claims.product,
        "measurements": dict(claims.measurements),
        "image_signers": dict(claims.image_signers),
        "instance": dict(claims.instance),
        "settings": {name: value for name, value in claims.settings.items() if name != "events"},
    }


def result_record(result: AttestationResult) -> dict[str, Any]:
    """Return a whole result."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "kind": result.kind.value,
        "verdict": result.verdict.value,
        "evidence_level": result.level.value,
        "genuine": result.genuine,
        "codes": [code.value for code in result.codes],
        "policy": {"name": result.policy_name, "hash": result.policy_hash},
        "evaluated_at": moment(result.evaluated_at),
        "nonce": None if result.nonce is None else result.nonce.hex(),
        "evidence_sha256": result.evidence_hash,
        "grace_until": moment(result.grace_until),
        "identity_key": None if result.identity_key is None else result.identity_key.hex(),
        "release_key": None if result.release_key is None else result.release_key.hex(),
        "claims": claims_record(result.claims),
        "checks": [check_record(one) for one in result.checks],
    }
    if result.shadow is not None:
        record["shadow"] = {
            "policy": {"name": result.shadow.policy_name, "hash": result.shadow.policy_hash},
            "verdict": result.shadow.verdict.value,
            "failed": [check_record(one) for one in result.shadow.failed],
        }
    return record
