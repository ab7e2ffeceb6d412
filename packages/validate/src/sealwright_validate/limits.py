"""For how long the keys of a plain issuer may be used. Ceilings in code: a relying party can only tighten
them.

May never be loosened by what an issuer says.
"""

from dataclasses import dataclass
from typing import Final

from sealwright_validate.errors import Misconfigured

MIN_LIFETIME: Final = 60.0  # seconds
MAX_LIFETIME: Final = (
    86_400.0  # seconds: no set of keys is used for longer than a day without being confirmed
)
KEYS_LIFETIME: Final = 14_400.0  # seconds: the default
MAX_KEY_AGE: Final = 5 * 365 * 86_400.0  # seconds: the key of 2023 was seven years old


@dataclass(frozen=True, slots=True)
class Limits:
    """`lifetime` of a set that cannot be confirmed, and `key_age` of any key at all; seconds."""

    lifetime: float = KEYS_LIFETIME
    key_age: float = MAX_KEY_AGE

    def __post_init__(self) -> None:
        if not MIN_LIFETIME <= self.lifetime <= MAX_LIFETIME:
            raise Misconfigured(f"keys_lifetime: between {MIN_LIFETIME:.0f} and {MAX_LIFETIME:.0f} s")
        if not 0 < self.key_age <= MAX_KEY_AGE:
            raise Misconfigured(f"max_key_age: between 0 and {MAX_KEY_AGE:.0f} s")
