"""Token validation that also checks a key's realm, window and status.

    from sealwright_validate import Expect, Refused, Trust, Validator

    validator = Validator(trust=Trust.sealwright("https://tokens.example", root="root.json"))
    token = validator.validate(bearer, Expect(audience="https://mail.example", realm="enterprise"))

May never offer a way to read a token without validating it, or to leave a check out.
"""

from sealwright_validate.errors import Misconfigured, Reason, Refused, Unavailable
from sealwright_validate.expect import Expect
from sealwright_validate.health import Health
from sealwright_validate.keyset import Evidence
from sealwright_validate.possession import Possession, Presented
from sealwright_validate.report import Report
from sealwright_validate.token import VerifiedToken
from sealwright_validate.trust import Trust
from sealwright_validate.validate import Mode, Validator
from sealwright_validate.witnesses import WitnessPolicy

__version__ = "0.1.0"

__all__ = [
    "Evidence",
    "Expect",
    "Health",
    "Misconfigured",
    "Mode",
    "Possession",
    "Presented",
    "Reason",
    "Refused",
    "Report",
    "Trust",
    "Unavailable",
    "Validator",
    "VerifiedToken",
    "WitnessPolicy",
]
