"""The rules of the azure section, beside those of the hardware below it.

It may never take the hardware report for a statement about the guest: that is in the PCRs alone.
"""

from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Claims

from .document import Policy
from .rules_snp import bits, listed
from .rules_tpm import pcr_rules


def azure_rules(claims: Claims, policy: Policy, checks: Checks) -> None:
    """Write every check of the section."""
    rules = policy.azure
    bits(checks, "vm", Code.CONFIGURATION, claims.settings["vm_configuration"], rules.configuration)
    listed(checks, "vm.id", Code.INSTANCE_REFUSED, claims.instance["vm_id"].upper(), rules.vm_ids)
    pcr_rules(claims, rules.pcrs, policy, checks)
