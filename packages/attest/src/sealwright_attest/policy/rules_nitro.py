"""The rules of the nitro section.

It may never accept a zero PCR0 silently: that is how a debug enclave, whose console the host reads, looks.
"""

from datetime import datetime

from sealwright_attest.checks import Checks
from sealwright_attest.errors import Code
from sealwright_attest.model import Claims, Stage

from .document import Policy
from .rules_snp import listed
from .rules_tdx import registers


def nitro_rules(claims: Claims, policy: Policy, checks: Checks, now: datetime) -> None:
    """Write every check of the section."""
    rules, settings = policy.nitro, claims.settings
    checks.expect(
        Stage.POLICY,
        "enclave.debug",
        Code.DEBUG,
        holds=not settings["debug"] or rules.debug,
        found="PCR0 is zero" if settings["debug"] else "no",
        asked="any" if rules.debug else "no",
    )
    if policy.max_age_seconds:
        age = int(now.timestamp()) - settings["timestamp_ms"] // 1000
        checks.expect(
            Stage.FRESH,
            "document.age",
            Code.STALE,
            holds=age <= policy.max_age_seconds,
            found=f"{age} s",
            asked=f"at most {policy.max_age_seconds} s",
        )
    listed(checks, "enclave.module_id", Code.INSTANCE_REFUSED, claims.instance["module_id"], rules.module_ids)
    registers(checks, claims.measurements, rules.pcrs, Code.PCR_VALUE)
