"""What things are: evidence, checks, claims and the result of an appraisal. No decisions live here.

Nothing in this module may verify anything: a value of type Evidence is untrusted until a result says
otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from .errors import Code, Refused


class Kind(StrEnum):
    """Kinds of evidence."""

    SEV_SNP = "sev-snp"
    TDX = "tdx"
    AZURE = "azure"
    NITRO = "nitro"
    TPM2 = "tpm2"
    SIMULATED = "simulated"


class EvidenceLevel(StrEnum):
    """What the evidence is rooted in; `rank` orders the levels."""

    HARDWARE = "hardware"
    VIRTUAL_TPM = "virtual-tpm"
    SIMULATED = "simulated"
    NONE = "none"

    @property
    def rank(self) -> int:
        """Return a number that grows with the level."""
        return _RANKS[self]


_RANKS: Final = {
    EvidenceLevel.NONE: 0,
    EvidenceLevel.SIMULATED: 1,
    EvidenceLevel.VIRTUAL_TPM: 2,
    EvidenceLevel.HARDWARE: 3,
}


@dataclass(frozen=True, slots=True)
class Endorsements:
    """What vouches for the key that signed the evidence. It comes from the attester and is untrusted.

    Attributes:
        certificates: DER certificates, any order.
        crls: DER revocation lists.
        collateral: Intel's collateral as JSON, in the form of QuoteCollateralV3.
    """

    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    collateral: bytes | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence with everything that came along. All of it is untrusted.

    Attributes:
        kind: what the sender says it is.
        unverified_body: the report, quote, document or JSON of quotes; the forms are in
            docs/formats/attestation-evidence.md.
        endorsements: certificates, revocation lists and collateral.
        unverified_event_log: TCG event log, or empty.
        unverified_identity_key: SubjectPublicKeyInfo (DER) that the evidence is said to be bound to, or
            empty.
        unverified_release_key: X25519 public key (32 bytes) that secrets may be encrypted to, or empty.
    """

    kind: Kind
    unverified_body: bytes
    endorsements: Endorsements = field(default_factory=Endorsements)
    unverified_event_log: bytes = b""
    unverified_identity_key: bytes = b""
    unverified_release_key: bytes = b""


class Outcome(StrEnum):
    """How one check ended. `warned` is a failure that the policy only wants to know of."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    SKIPPED = "skipped"


class Stage(StrEnum):
    """What a check is about; only checks of the policy stage can be turned into warnings."""

    FORM = "form"
    GENUINE = "genuine"
    FRESH = "fresh"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a result.

    Attributes:
        stage: form, genuine, fresh or policy.
        field: what was looked at, as a dotted name.
        outcome: how it ended.
        code: the reason code it carries when it fails.
        found: what the evidence says.
        asked: what the policy or the format asks for.
        fix: what to do about a failure; empty otherwise.
        grace_until: until when an incarnation that is already admitted may go on in spite of this failure.
    """

    stage: Stage
    field: str
    outcome: Outcome
    code: Code
    found: str
    asked: str
    fix: str = ""
    grace_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """What the evidence says, in words shared by all platforms. True only if the result says `genuine`.

    Attributes:
        level: what it is rooted in.
        product: Milan, Genoa, Turin, TDX, Nitro, TPM and so on.
        measurements: name to lower-case hex of what was measured: launch, mrtd, rtmr0.., pcr0..
        image_signers: name to hex of keys that signed the image.
        instance: name to text of chip, platform or machine identities.
        settings: everything else that a policy may read: booleans, integers, texts.
    """

    level: EvidenceLevel
    product: str
    measurements: Mapping[str, str] = field(default_factory=dict)
    image_signers: Mapping[str, str] = field(default_factory=dict)
    instance: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


NO_CLAIMS: Final = Claims(EvidenceLevel.NONE, "unknown")


class Verdict(StrEnum):
    """What an appraisal decides.

    `grace`: refused for admission, but every failure is one that the policy lets an incarnation that was
        admitted
    earlier outlive for a while.
    """

    ACCEPTED = "accepted"
    GRACE = "grace"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a second policy would have decided about the same evidence."""

    policy_hash: str
    policy_name: str
    verdict: Verdict
    failed: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """The result of one appraisal.

    Attributes:
        kind: kind of the evidence.
        verdict: accepted, grace or refused.
        level: evidence level that was established; `none` unless the evidence is genuine.
        genuine: every check of form and genuineness passed, and there was something to check: never for
            simulated evidence.
        checks: every check that was made.
        claims: what the evidence says; not to be believed unless `genuine`.
        evidence_hash: SHA-256 of the evidence body, hex. For records only: the replay key is the nonce.
        policy_name: name and revision of the policy.
        policy_hash: `sha256:` and hex of the effective policy.
        evaluated_at: the time that was passed as now.
        nonce: the nonce that was asked for, or None.
        identity_key: the bound key (SPKI DER), only when its binding was checked and held.
        release_key: the bound X25519 key, likewise.
        shadow: what the shadow policy would have decided, if one was given.
    """

    kind: Kind
    verdict: Verdict
    level: EvidenceLevel
    genuine: bool
    checks: tuple[Check, ...]
    claims: Claims
    evidence_hash: str
    policy_name: str
    policy_hash: str
    evaluated_at: datetime
    nonce: bytes | None = None
    identity_key: bytes | None = None
    release_key: bytes | None = None
    shadow: Shadow | None = None

    @property
    def accepted(self) -> bool:
        """Whether the evidence is accepted for admission."""
        return self.verdict is Verdict.ACCEPTED

    @property
    def codes(self) -> tuple[Code, ...]:
        """Reason codes of the failed checks, in the order they were found, each once."""
        return tuple(dict.fromkeys(one.code for one in self.checks if one.outcome is Outcome.FAILED))

    @property
    def grace_until(self) -> datetime | None:
        """When the grace of an incarnation that is already admitted ends; None without grace."""
        failed = [one for one in self.checks if one.outcome is Outcome.FAILED]
        ends = [one.grace_until for one in failed if one.grace_until is not None]
        return min(ends) if failed and len(ends) == len(failed) else None

    def require_accepted(self) -> None:
        """Raise unless the evidence is accepted.

        Raises:
            Refused: with the code of the first failed check.
        """
        if self.accepted:
            return
        first = next(one for one in self.checks if one.outcome is Outcome.FAILED)
        raise Refused(first.code, f"{first.field}: {first.fix}", f"found {first.found}, asked {first.asked}")
