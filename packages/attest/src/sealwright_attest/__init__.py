"""Offline appraisal of attestation evidence: SEV-SNP, TDX, Azure, Nitro, TPM 2.0.

`appraise(evidence, nonce=..., policy=..., now=...)` returns an `AttestationResult` that lists every check.
This package never opens a connection, never reads the clock outside its command line, and never holds a
private key of its own.
"""

from .activation import Challenge, open_challenge
from .appraise import appraise, appraise_with_anchors
from .binding import extra_data, report_data
from .bundle import parse_bundle, serialize_bundle
from .ear import ear_claims, sign_ear, verify_ear
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
from .record import result_record
from .release import open_released, release_info, seal_for
from .verifiers.context import NOTHING_KNOWN, ActivatedKey, Known

__version__ = "0.1.0"

__all__ = [
    "BUILT_IN",
    "NOTHING_KNOWN",
    "ActivatedKey",
    "AttestationResult",
    "Challenge",
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
    "ear_claims",
    "extra_data",
    "open_challenge",
    "open_released",
    "parse_bundle",
    "parse_policy",
    "policy_from_table",
    "release_info",
    "report_data",
    "result_record",
    "seal_for",
    "serialize_bundle",
    "sign_ear",
    "verify_ear",
]
