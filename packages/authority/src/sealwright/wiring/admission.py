"""What a configuration asks of every signer: the admission policy, and who appraises by it.

May never fall back to a weaker appraiser when a policy is named and cannot be read.
"""

from __future__ import annotations

from pathlib import Path

from sealwright.admission.appraise import SoftwareAppraiser
from sealwright.admission.attested import AttestedAppraiser, read_policy
from sealwright.admission.endorsements import Stored, read_endorsements
from sealwright.admission.model import AdmissionPolicy, EvidenceLevel
from sealwright.admission.ports import Appraiser
from sealwright.admission.release import Audit, ReleaseDesk, require_secrets
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.errors import Misconfigured
from sealwright_attest import Policy


def admission_of(config: Config) -> tuple[AdmissionPolicy, Appraiser]:
    """The policy of admission, and the appraiser: by `admission.policy` where one is named.

    Raises:
        Misconfigured: `unreadable_file` or `bad_admission_policy`.
    """
    asked = config.admission
    level, times = EvidenceLevel(asked.evidence), (asked.lifetime, asked.recheck, asked.grace)
    if not asked.policy:
        return AdmissionPolicy(level, *times), SoftwareAppraiser()
    file = Path(asked.policy).expanduser().resolve()
    try:
        document = file.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise Misconfigured("unreadable_file", f"cannot read admission.policy {file}: {reason}") from error
    policy = read_policy(document, str(file))
    stored = read_endorsements(Path(asked.endorsements).expanduser()) if asked.endorsements else Stored()
    shadow = _policy(Path(asked.shadow).expanduser()) if asked.shadow else None
    appraiser = AttestedAppraiser(policy, document=document.decode(), stored=stored, shadow=shadow)
    return AdmissionPolicy(level, *times, policy.hash()), appraiser


def release_desk(config: Config, audit: Audit, clock: Clock) -> ReleaseDesk | None:
    """The desk of attested release, where secrets are named.

    Raises:
        Misconfigured: without a policy, or with a secret that others can read.
    """
    asked = config.admission
    if not asked.release:
        return None
    if not asked.policy:
        raise Misconfigured("release_without_policy", "admission.release needs an admission.policy")
    files = {purpose: Path(file).expanduser() for purpose, file in asked.release.items()}
    require_secrets(files)
    file = Path(asked.policy).expanduser()
    stored = read_endorsements(Path(asked.endorsements).expanduser()) if asked.endorsements else Stored()
    return ReleaseDesk(files, _policy(file), audit, clock, asked.lease, stored=stored)


def _policy(file: Path) -> Policy:
    try:
        return read_policy(file.read_bytes(), str(file))
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise Misconfigured("unreadable_file", f"cannot read {file}: {reason}") from error
