"""Acts on Shared Signals (SSF 1.0): what an issuer ends between two manifests is ended here within a second.

    signals = Signals("https://tokens.example", "mail-api", secret, state_file="signals.jsonl")
    validator = Validator(trust=trust, signals=signals)

May only take away: no event makes a token acceptable that was not.
"""

from sealwright_validate.signals.receiver import Receiver
from sealwright_validate.signals.signals import Signals

__all__ = ["Receiver", "Signals"]
