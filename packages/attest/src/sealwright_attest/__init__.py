"""Offline appraisal of attestation evidence: SEV-SNP, TDX, Azure, Nitro, TPM 2.0.

`appraise(evidence, nonce=..., policy=..., now=...)` returns an `AttestationResult` that lists every check.
This package never opens a connection, never reads the clock outside its command line, and never holds a
private key of its own.
"""

from .appraise import appraise, appraise_with_anchors
from .binding import extra_data, report_data
from .bundle import parse_bundle, serialize_bundle
from .errors import Code, Misconfigured, Refused
from .model import (
    AttestationResult,
    Check,
    Claims,
    Endorsements,
    Evidence,
    EvidenceLevel,
    Kind,
    Outcome,
    Shadow,
    Stage,
    Verdict,
)
from .policy.document import BUILT_IN, Policy
from .policy.parse import parse_policy, policy_from_table
from .verifiers.context import NOTHING_KNOWN, ActivatedKey, Known

__all__ = [
    "BUILT_IN",
    "NOTHING_KNOWN",
    "ActivatedKey",
    "AttestationResult",
    "Check",
    "Claims",
    "Code",
    "Endorsements",
    "Evidence",
    "EvidenceLevel",
    "Kind",
    "Known",
    "Misconfigured",
    "Outcome",
    "Policy",
    "Refused",
    "Shadow",
    "Stage",
    "Verdict",
    "appraise",
    "appraise_with_anchors",
    "extra_data",
    "parse_bundle",
    "parse_policy",
    "policy_from_table",
    "report_data",
    "serialize_bundle",
]
