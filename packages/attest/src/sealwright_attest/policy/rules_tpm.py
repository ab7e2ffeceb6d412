"""The rules of the tpm2 section.

It may never pass a policy that reads no PCR unless that policy accepts any measurement in so many words: a
quote over nothing says nothing of the software.
"""

from collections.abc import Mapping

from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Claims, Stage

from .document import Policy
from .rules_tdx import need_log, registers


def pcr_rules(claims: Claims, asked: Mapping[str, tuple[str, ...]], policy: Policy, checks: Checks) -> None:
    """Write whether the PCRs hold accepted values, and whether the policy reads any."""
    quoted = {name: value for name, value in claims.measurements.items() if name.startswith("pcr")}
    missing = sorted(set(asked) - set(quoted))
    if asked:
        checks.expect(
            Stage.POLICY,
            "quote.covers",
            Code.PCR_SELECTION,
            holds=not missing,
            found=sorted(quoted),
            asked=sorted(asked),
        )
    elif not policy.measurements.any:
        checks.expect(
            Stage.POLICY,
            "quote.covers",
            Code.MEASUREMENT_UNKNOWN,
            holds=False,
            found="no PCR in the policy",
            asked="at least one PCR with its values",
            fix="name the PCRs and their values in the policy, or say any = true under measurements",
        )
    registers(
        checks, quoted, {name: values for name, values in asked.items() if name in quoted}, Code.PCR_VALUE
    )


def tpm_rules(claims: Claims, policy: Policy, checks: Checks) -> None:
    """Write every check of the section."""
    pcr_rules(claims, policy.tpm.pcrs, policy, checks)
    need_log(claims, policy.tpm.event_log, checks)
