"""What a policy says: typed, frozen, with defaults that refuse.

No decision is made here. Every default of a section is the strict one; only `BUILT_IN` loosens some, by name,
because it answers another question: is this evidence genuine, current and not debug, whatever it measures?
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sealwright_attest.errors import Code
from sealwright_attest.model import EvidenceLevel, Kind

SCHEMA: Final = 1


class Need(StrEnum):
    """Whether something must be there. What is there is checked in either case."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class AllowedMeasurement:
    """A launch measurement (hex) that is accepted, with the name it is shown under."""

    digest: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Grace:
    """From when a rule refuses admission, and for how long those admitted earlier may go on."""

    since: datetime
    seconds: int

    def until(self) -> datetime:
        """Return the end of the grace."""
        return self.since + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class RevokedMeasurement:
    """A measurement with a known hole. It hits any register or logged event that carries the digest."""

    digest: str
    reason: str
    grace: Grace | None = None


@dataclass(frozen=True, slots=True)
class Measurements:
    """Which images are accepted.

    Attributes:
        any: accept every measurement; written out so that nobody gets it by leaving something away.
        allow: launch measurements.
        signers: hex of image-signing keys (SNP id and author key digests, Nitro PCR8, TDX mr_owner).
        revoked: measurements that are refused whatever else holds.
    """

    any: bool = False
    allow: tuple[AllowedMeasurement, ...] = ()
    signers: tuple[str, ...] = ()
    revoked: tuple[RevokedMeasurement, ...] = ()


@dataclass(frozen=True, slots=True)
class TcbFloor:
    """The least security version per component; components that are not named are not limited."""

    reported: Mapping[str, int] = field(default_factory=dict)
    committed: Mapping[str, int] = field(default_factory=dict)
    launch: Mapping[str, int] = field(default_factory=dict)
    grace: Grace | None = None


@dataclass(frozen=True, slots=True)
class SnpRules:
    """SEV-SNP. Empty lists do not limit; `guest` and `platform` name bits and the value each must have."""

    products: tuple[str, ...] = ("Milan", "Genoa", "Turin")
    signing_keys: tuple[str, ...] = ("vcek",)
    providers: tuple[str, ...] = ()
    chip_ids: tuple[str, ...] = ()
    vmpl: tuple[int, ...] = (0,)
    debug: bool = False
    migration: bool = False
    min_report_version: int = 2
    min_guest_svn: int = 0
    guest: Mapping[str, bool] = field(default_factory=dict)
    platform: Mapping[str, bool] = field(default_factory=dict)
    host_data: tuple[str, ...] = ()
    family_ids: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()
    author_keys: tuple[str, ...] = ()
    crl: Need = Need.OPTIONAL
    tcb: Mapping[str, TcbFloor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TdxRules:
    """Intel TDX. Empty lists do not limit; `registers` maps mrtd and rtmr0 to rtmr3 to accepted values."""

    tcb_status: tuple[str, ...] = ("UpToDate",)
    grace_seconds: int = 0
    min_tcb_evaluation: int = 0
    refused_advisories: tuple[str, ...] = ()
    debug: bool = False
    smt: bool = True
    service_tds: tuple[str, ...] = ()
    fmspcs: tuple[str, ...] = ()
    ppids: tuple[str, ...] = ()
    platform_instances: tuple[str, ...] = ()
    mr_seams: tuple[str, ...] = ()
    mr_config_ids: tuple[str, ...] = ()
    mr_owner_configs: tuple[str, ...] = ()
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_log: Need = Need.OPTIONAL


@dataclass(frozen=True, slots=True)
class AzureRules:
    """Azure confidential VMs, on top of the SNP or TDX section. `configuration` names vm-configuration
    booleans.
    """

    configuration: Mapping[str, bool] = field(default_factory=lambda: {"tpm-enabled": True})
    vm_ids: tuple[str, ...] = ()
    pcrs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NitroRules:
    """AWS Nitro Enclaves. `pcrs` maps pcr0.. to accepted values (SHA-384 hex)."""

    debug: bool = False
    module_ids: tuple[str, ...] = ()
    pcrs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TpmRules:
    """TPM 2.0.

    Attributes:
        ak: accepted ways of trusting the attestation key: certificate, activated, enrolled.
        enrolled: names (hex) of enrolled attestation keys, beside those the caller knows.
        activated: name (hex) of an attestation key that was activated to PEM of its endorsement key's
            certificate, with what leads to a root; the chain is checked at every appraisal.
        roots: SHA-256 to PEM of further roots of AK certificates; evidence below them is `virtual-tpm`.
        hardware_roots: likewise, of makers of discrete or firmware TPMs; evidence below them is `hardware`.
        pcrs: pcr0.. to accepted values (SHA-256 hex).
        event_log: whether the TCG log must come along.
    """

    ak: tuple[str, ...] = ("certificate", "activated", "enrolled")
    enrolled: tuple[str, ...] = ()
    roots: Mapping[str, str] = field(default_factory=dict)
    hardware_roots: Mapping[str, str] = field(default_factory=dict)
    pcrs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_log: Need = Need.OPTIONAL
    activated: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """A release policy in the shape of Azure Secure Key Release, and whose authorities this appraiser stands
    in for.
    """

    authorities: tuple[str, ...]
    document: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One admission policy. `hash()` names its effective content: every rule with its value or default."""

    name: str
    revision: str
    platforms: tuple[Kind, ...]
    level: EvidenceLevel = EvidenceLevel.HARDWARE
    nonce: Need = Need.REQUIRED
    binding: Need = Need.REQUIRED
    max_age_seconds: int = 300
    warn_only: tuple[Code, ...] = ()
    measurements: Measurements = field(default_factory=Measurements)
    snp: SnpRules = field(default_factory=SnpRules)
    tdx: TdxRules = field(default_factory=TdxRules)
    azure: AzureRules = field(default_factory=AzureRules)
    nitro: NitroRules = field(default_factory=NitroRules)
    tpm: TpmRules = field(default_factory=TpmRules)
    release: Release | None = None
    # The hash, once it was asked for; never copied to a changed policy, never part of one.
    _hash: str = field(default="", init=False, repr=False, compare=False)

    def as_table(self) -> dict[str, Any]:
        """Return the effective policy as plain JSON values."""
        table: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_plain))
        del table["_hash"]
        if not table["tpm"]["activated"]:  # younger than hashes that are in ledgers
            del table["tpm"]["activated"]
        return {"schema": SCHEMA, **table}

    def hash(self) -> str:
        """Return `sha256:` and the hex digest of the effective policy in canonical JSON."""
        if not self._hash:
            canonical = json.dumps(self.as_table(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            object.__setattr__(self, "_hash", f"sha256:{digest}")
        return self._hash

    def title(self) -> str:
        """Return the name and revision as one text."""
        return f"{self.name}@{self.revision}"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


BUILT_IN: Final = Policy(
    name="built-in",
    revision="1",
    platforms=(Kind.SEV_SNP, Kind.TDX, Kind.AZURE, Kind.NITRO, Kind.TPM2),
    level=EvidenceLevel.VIRTUAL_TPM,
    nonce=Need.OPTIONAL,
    binding=Need.OPTIONAL,
    max_age_seconds=0,
    measurements=Measurements(any=True),
    snp=SnpRules(signing_keys=("vcek", "vlek")),
)
