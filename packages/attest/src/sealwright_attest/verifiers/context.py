"""What a verifier is given beside the evidence.

It may never carry the network, the clock or the environment: an appraisal is a function of its arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sealwright_attest.binding import Expected
from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Stage
from sealwright_attest.policy.document import Need, Policy
from sealwright_attest.roots import Anchors


@dataclass(frozen=True, slots=True)
class ActivatedKey:
    """An attestation key that proved, by credential activation, to live in the TPM of an endorsement key.

    Attributes:
        ek_certificate: the EK certificate (DER) that the challenge was encrypted to; checked when it was
            activated.
        hardware: whether that certificate led to a maker of real TPMs.
    """

    ek_certificate: bytes
    hardware: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the appraiser itself remembers of a machine. Never filled from the evidence under appraisal.

    Attributes:
        enrolled: names (hex) of attestation keys that an operator enrolled.
        activated: name (hex) of an attestation key to the record of its activation.
        reset_count: TPM reset count at admission, to notice a reboot; None at admission.
        restart_count: TPM restart count at admission; None at admission.
    """

    enrolled: frozenset[str] = frozenset()
    activated: Mapping[str, ActivatedKey] = field(default_factory=dict)
    reset_count: int | None = None
    restart_count: int | None = None


NOTHING_KNOWN: Final = Known()


@dataclass(frozen=True, slots=True)
class Context:
    """Everything an appraisal depends on, and the record it writes to."""

    now: datetime
    policy: Policy
    expected: Expected
    anchors: Anchors
    known: Known
    checks: Checks


def check_fresh(context: Context, field_name: str, found: bytes, asked: bytes | None) -> None:
    """Write whether the evidence carries the nonce of this appraisal, and is bound to the claimed key.

    Args:
        context: the appraisal.
        field_name: the field of the evidence that carries it.
        found: what the field holds.
        asked: what it must hold, or None when the appraiser gave no nonce.
    """
    checks, expected, policy = context.checks, context.expected, context.policy
    if asked is None:
        # Whoever names an identity key relies on it, and without a nonce it cannot be checked.
        if expected.bound or policy.nonce is Need.REQUIRED or policy.binding is Need.REQUIRED:
            checks.expect(
                Stage.FRESH,
                field_name,
                Code.NONCE_MISSING,
                holds=False,
                found=found,
                asked="a nonce was not given",
            )
        else:
            checks.skip(Stage.FRESH, field_name, Code.NONCE_MISSING, found, "no nonce was asked for")
        return
    if expected.bound:
        code = Code.BINDING_MISMATCH
    else:
        code = Code.NONCE_MISMATCH
        if policy.binding is Need.REQUIRED:
            checks.expect(
                Stage.FRESH,
                "binding",
                Code.BINDING_MISSING,
                holds=False,
                found="no identity key",
                asked="an identity key",
            )
    checks.expect(Stage.FRESH, field_name, code, holds=found == asked, found=found, asked=asked)
