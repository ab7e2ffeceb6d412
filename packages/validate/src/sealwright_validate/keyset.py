"""What is trusted: keys with the scope, the window and the status that they were published with.

Values only: nothing here fetches, reads a clock or decides. May never hold a key whose publication was not
verified.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from hashlib import sha256
from math import inf
from types import MappingProxyType
from typing import Final

from sealwright_validate.algorithms import Algorithm, Verifier
from sealwright_validate.errors import Reason
from sealwright_validate.issuers import TenantRule

LOG_KEY_ID_BYTES: Final = 4
_NOTE_ED25519: Final = b"\x01"  # C2SP signed-note: the type of an Ed25519 key


@unique
class Profile(StrEnum):
    """Whose tokens these are: ours say everything about a key, a plain OpenID issuer says little."""

    SEALWRIGHT = "sealwright"
    PLAIN = "plain"


@unique
class KeyStatus(StrEnum):
    """Where a published key is in its life (see docs/formats/key-manifest.md)."""

    STAGED = "staged"
    ACTIVE = "active"
    VERIFY_ONLY = "verify-only"


@unique
class Evidence(StrEnum):
    """How the place that holds the private key was appraised, weakest first."""

    NONE = "none"
    SIMULATED = "simulated"
    VIRTUAL_TPM = "virtual-tpm"
    HARDWARE = "hardware"


EVIDENCE_RANK: Final[Mapping[Evidence, int]] = MappingProxyType(
    {level: rank for rank, level in enumerate(Evidence)}
)


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of one log: its origin, which is the key's name too, and 32 bytes of Ed25519 public key."""

    origin: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || 0x0A || type || key)."""
        return sha256(self.origin.encode() + b"\n" + _NOTE_ED25519 + self.public).digest()[:LOG_KEY_ID_BYTES]


@dataclass(frozen=True, slots=True, eq=False)
class TrustedKey:
    """One public key and everything it may be used for. Times are seconds since 1970.

    `audiences` and `token_types` are None where the issuer publishes no such scope. `revoked_from` is the
    time from which tokens of this key are void (a revocation with `issued_before`), infinity while it is not
    revoked. `evidence_link` is where the evidence behind `evidence` can be had.
    """

    kid: str
    thumbprint: str
    algorithm: Algorithm
    verify: Verifier
    realm: str
    issuer: str
    audiences: frozenset[str] | None
    token_types: frozenset[str] | None
    max_lifetime: float
    use_from: float
    use_until: float
    verify_until: float
    status: KeyStatus = KeyStatus.ACTIVE
    incarnation: str | None = None
    evidence: Evidence = Evidence.NONE
    evidence_link: str | None = None
    revoked_from: float = inf
    tenants: TenantRule | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The key that a plain issuer first published under an id, and since when it is known (seconds since
    1970).
    """

    thumbprint: str
    since: float


@dataclass(frozen=True, slots=True, eq=False)
class KeySnapshot:
    """Everything that one verified publication says, until it expires.

    `tombstones` gives the reason for which tokens under a key id are refused for ever; `remembered` holds the
    public keys of tombstoned ids that were seen alive, so that a misuse can still be told from a mere claim.
    """

    profile: Profile
    version: int
    issued_at: float
    expires_at: float
    keys: Mapping[str, TrustedKey]
    issuers: Mapping[str, str] = field(default_factory=dict)
    tombstones: Mapping[str, Reason] = field(default_factory=dict)
    remembered: Mapping[str, TrustedKey] = field(default_factory=dict)
    logs: Mapping[str, LogKey] = field(default_factory=dict)
    strict_realms: frozenset[str] = frozenset()
    fingerprint: str = ""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    thumbprints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A snapshot together with the monotonic moment after which it counts as expired.

    The second limit is for a wall clock that is set back: what was fresh for a minute stays fresh for a
    minute.
    """

    snapshot: KeySnapshot
    received_at: float
    fresh_until: float

    def is_fresh(self, wall: float, monotonic: float) -> bool:
        """Whether the publication has not expired by either clock."""
        return wall < self.snapshot.expires_at and monotonic < self.fresh_until
