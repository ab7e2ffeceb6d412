"""What a configuration asks of every signer: the admission policy, and who appraises by it.

May never fall back to a weaker appraiser when a policy is named and cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

from sealwright.admin.service import Approvals, Auditor
from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.attested import AttestedAppraiser, read_policy
from sealwright.admission.endorsements import Stored, read_endorsements
from sealwright.admission.keeper import PolicyKeeper, Rules
from sealwright.admission.model import AdmissionPolicy, EvidenceLevel
from sealwright.admission.policy_desk import PolicyDesk
from sealwright.admission.ports import AdmissionStore, Note, StandingStore
from sealwright.admission.release import Audit, ReleaseDesk, require_secrets
from sealwright.admission.released import Releaser
from sealwright.admission.service import Admitter
from sealwright.admission.standing import Approved, in_force
from sealwright.admission.trust import RootOfTrust
from sealwright.clock import Clock
from sealwright.config import Config, origin_prefix, released_pin
from sealwright.errors import Misconfigured
from sealwright.wiring.stores import Stores
from sealwright_attest import Policy

APPROVED = "approved"
"""`admission.changes`: operators must agree to another policy."""


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """`Sources` on the files that a configuration names."""

    policy: Path
    shadow: Path | None
    endorsements: Path | None

    @classmethod
    def of(cls, config: Config) -> PolicyFiles:
        """Those of `[admission]`."""
        named = (config.admission.shadow, config.admission.endorsements)
        shadow, endorsements = (Path(one).expanduser() if one else None for one in named)
        return cls(Path(config.admission.policy).expanduser().resolve(), shadow, endorsements)

    def mark(self) -> Hashable:
        """Size, time and inode of every file; None in the place of one that is not there."""
        inside = [] if self.endorsements is None else _listed(self.endorsements)
        return tuple(_stamp(file) for file in (self.policy, self.shadow, self.endorsements, *inside) if file)

    def document(self) -> str:
        """The policy's file."""
        return _text(self.policy, "admission.policy")

    def beside(self) -> tuple[Stored, Policy | None]:
        """Endorsements and shadow policy."""
        stored = read_endorsements(self.endorsements) if self.endorsements else Stored()
        if self.shadow is None:
            return stored, None
        return stored, read_policy(_text(self.shadow, "admission.shadow").encode(), str(self.shadow))


def admitting(
    config: Config,
    root: RootOfTrust,
    stores: tuple[AdmissionStore, StandingStore, Approved],
    note: Note,
    clock: Clock,
) -> tuple[Admitter, PolicyKeeper | None]:
    """Who admits signers, and who follows the policy while they serve, where there is one.

    Raises:
        Misconfigured: `unreadable_file` or `bad_admission_policy`.
    """
    admissions, standing, approvals = stores
    asked = config.admission
    level, times = EvidenceLevel(asked.evidence), (asked.lifetime, asked.recheck, asked.grace)
    policy, prefix = AdmissionPolicy(level, *times), origin_prefix(config)
    if not asked.policy:
        return Admitter(root.admission, policy, SoftwareAppraiser(), admissions, clock, prefix, note), None
    files = PolicyFiles.of(config)
    appraiser = AttestedAppraiser(read_policy(files.document().encode(), str(files.policy)))
    admitter = Admitter(root.admission, policy, appraiser, admissions, clock, prefix, note)

    def use(rules: Rules) -> None:
        appraiser.use(rules.in_force.policy, rules.in_force.document, rules.stored, rules.shadow)
        admitter.use(rules.in_force.policy.hash())

    deciding = approvals if asked.changes == APPROVED else None
    if purpose := released_pin(config):
        secret = Path(asked.release[purpose]).expanduser()
        require_secrets({purpose: secret})
        admitter.release_by(Releaser(purpose, secret, asked.lease, note, clock))
    keeper = PolicyKeeper(files, standing, deciding, note, clock, use)
    keeper.open()
    return admitter, keeper


def policy_desk(config: Config, stores: Stores, auditor: Auditor, clock: Clock) -> PolicyDesk:
    """Where operators change the policy."""
    approvals = Approvals(stores.approvals, auditor, clock)
    return PolicyDesk(stores.standing, approvals, auditor, clock, config.admission.changes == APPROVED)


def policy_in_force(config: Config, standing: StandingStore) -> Callable[[], Policy]:
    """What reads the policy that is in force now; the file's where nothing was put in force yet."""

    def read() -> Policy:
        latest = standing.latest()
        document = latest.document if latest else PolicyFiles.of(config).document()
        return in_force(document, standing.revoked(), config.admission.policy).policy

    return read


def release_desk(config: Config, stores: Stores, audit: Audit, clock: Clock) -> ReleaseDesk | None:
    """The desk of attested release, where secrets are named.

    Raises:
        Misconfigured: without a policy, or with a secret that others can read.
    """
    asked = config.admission
    if not asked.release:
        return None
    if not asked.policy:
        raise Misconfigured("release_without_policy", "admission.release needs an admission.policy")
    named = {purpose: Path(file).expanduser() for purpose, file in asked.release.items()}
    require_secrets(named)
    # What an incarnation's custody gets, nobody else does.
    files = {purpose: file for purpose, file in named.items() if purpose != released_pin(config)}
    policy = policy_in_force(config, stores.standing)
    policy()
    stored = read_endorsements(Path(asked.endorsements).expanduser()) if asked.endorsements else Stored()
    return ReleaseDesk(files, policy, audit, clock, asked.lease, stored=stored)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # whoever reads it says so
        return []


def _stamp(file: Path) -> tuple[str, int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns


def _text(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "unreadable"
        raise Misconfigured("unreadable_file", f"cannot read {name} {file}: {reason}") from error
