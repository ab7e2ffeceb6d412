"""What an operator enrols of a plain TPM: the name of its attestation key, and the registers as they are now.

The key proves itself first: the evidence must be a fresh quote by a restricted key, bound to the signer that
asked. What is enrolled is the operator's word that this TPM is theirs; nothing here can check that. May never
write a policy that the evidence at hand would not pass.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sealwright_attest as attest
from sealwright.admission.model import Evidence
from sealwright.errors import Refused
from sealwright_attest.verifiers.tpm_structures import parse_public


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A TPM's attestation key (name in hex), the values of the chosen registers, and a policy of both."""

    name: str
    pcrs: dict[str, str]
    policy: str


def enrolment(evidence: Evidence, registers: Sequence[int], now: float) -> Enrolment:
    """The enrolment of the TPM that made this evidence.

    Raises:
        Refused: `nothing_to_enrol`: it is not a plain TPM's; `evidence_refused`: it does not pass the policy
            that would come of it.
    """
    try:
        bundle = attest.parse_bundle(evidence.evidence.encode())
    except attest.Refused as error:
        raise Refused("nothing_to_enrol", "there is no evidence to enrol", error.public) from error
    if bundle.kind is not attest.Kind.TPM2:
        text = f"{bundle.kind} evidence rests on its maker's word; only the key of a plain TPM is enrolled"
        raise Refused("nothing_to_enrol", text)
    try:
        body = json.loads(bundle.unverified_body)
        name = parse_public(base64.b64decode(body["ak_public"])).name.hex()
        pcrs = {f"pcr{index}": str(body["pcrs"][str(index)]) for index in registers}
    except (attest.Refused, ValueError, KeyError, TypeError) as error:
        raise Refused("nothing_to_enrol", "the evidence has no such key or register", str(error)) from error
    made = Enrolment(name, pcrs, policy_text(name, pcrs))
    at, nonce = datetime.fromtimestamp(now, UTC), bytes.fromhex(evidence.nonce)
    result = attest.appraise(bundle, nonce=nonce, policy=attest.parse_policy(made.policy.encode()), now=at)
    if not result.accepted:
        raise Refused("evidence_refused", f"the evidence is refused: {' '.join(result.codes)}")
    return made


def policy_text(name: str, pcrs: dict[str, str]) -> str:
    """A policy document (docs/formats/attestation-policy.md) for this key and these values."""
    head = [
        "schema = 1",
        'name = "enrolled"',
        'revision = "1"',
        'platforms = ["tpm2"]',
        'level = "virtual-tpm"',
    ]
    tpm = ["", "[tpm2]", 'ak = ["enrolled"]', f'enrolled = ["{name}"]', "", "[tpm2.pcrs]"]
    return "\n".join([*head, *tpm, *(f'{pcr} = ["{value}"]' for pcr, value in pcrs.items()), ""])
