"""Which TEE this machine offers, and what each collector could read here.

It may never open a device, write, or extend a register: it looks at names and permissions only.
Source: Linux ABI documents of configfs-tsm, sev-guest, tdx-guest, nsm and the TPM drivers.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .model import EvidenceLevel, Kind

_AZURE_TAG: Final = "7783-7084-3265-9085-8269-3286-77"
_AZURE_NOTE: Final = "the paravisor's report in NV 0x01400001, and a quote by its key"
_CPU_FLAGS: Final = ("sev_snp", "tdx_guest", "sev_es", "sev")


@dataclass(frozen=True, slots=True)
class Probe:
    """One collector: what it would read, whether that is there, and whether we may."""

    collector: str
    kind: Kind
    path: str
    present: bool
    usable: bool
    note: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the machine offers: the best kind with its level, and every probe."""

    kind: Kind | None
    level: EvidenceLevel
    cpu_flags: tuple[str, ...]
    probes: tuple[Probe, ...]


# In the order in which a signer tries them. Azure comes before the plain TPM, and before the raw devices
# where a paravisor hides them.
_COLLECTORS: Final = (
    (
        "configfs-tsm",
        Kind.SEV_SNP,
        "sys/kernel/config/tsm/report",
        os.W_OK,
        "mkdir here gives a report directory",
    ),
    ("sev-guest", Kind.SEV_SNP, "dev/sev-guest", os.R_OK | os.W_OK, "SNP_GET_EXT_REPORT"),
    (
        "tdx-guest",
        Kind.TDX,
        "dev/tdx_guest",
        os.R_OK | os.W_OK,
        "a TDREPORT only; the quote comes from configfs-tsm",
    ),
    ("ccel", Kind.TDX, "sys/firmware/acpi/tables/data/CCEL", os.R_OK, "event log that leads to the RTMRs"),
    ("nsm", Kind.NITRO, "dev/nsm", os.R_OK | os.W_OK, "attestation document"),
    ("tpm", Kind.TPM2, "dev/tpmrm0", os.R_OK | os.W_OK, "quote by a restricted key"),
    ("tpm-log", Kind.TPM2, "sys/kernel/security/tpm0/binary_bios_measurements", os.R_OK, "TCG event log"),
)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _flags(root: Path) -> tuple[str, ...]:
    for line in _text(root / "proc/cpuinfo").splitlines():
        if line.startswith("flags"):
            return tuple(flag for flag in _CPU_FLAGS if flag in line.split())
    return ()


def _best(probes: tuple[Probe, ...], flags: tuple[str, ...], *, azure: bool) -> Kind | None:
    usable = {one.collector for one in probes if one.usable}
    if azure and "tpm" in usable:
        return Kind.AZURE
    if "configfs-tsm" in usable and "tdx_guest" in flags:
        return Kind.TDX
    if usable & {"configfs-tsm", "sev-guest"} and ("sev_snp" in flags or "sev-guest" in usable):
        return Kind.SEV_SNP
    if "nsm" in usable:
        return Kind.NITRO
    return Kind.TPM2 if "tpm" in usable else None


def diagnose(root: Path) -> Diagnosis:
    """Return what the machine below this root directory offers (`/` for the real one).

    Never raises: what cannot be read counts as absent.
    """
    probes = []
    for collector, kind, name, mode, note in _COLLECTORS:
        path = root / name
        present = path.exists()
        probes.append(Probe(collector, kind, f"/{name}", present, present and os.access(path, mode), note))
    flags = _flags(root)
    azure = _text(root / "sys/class/dmi/id/chassis_asset_tag") == _AZURE_TAG
    tpm = next(one for one in probes if one.collector == "tpm")
    probes.append(
        Probe("azure", Kind.AZURE, tpm.path, azure and tpm.present, azure and tpm.usable, _AZURE_NOTE)
    )
    best = _best(tuple(probes), flags, azure=azure)
    levels = {None: EvidenceLevel.SIMULATED, Kind.TPM2: EvidenceLevel.VIRTUAL_TPM}
    return Diagnosis(best, levels.get(best, EvidenceLevel.HARDWARE), flags, tuple(probes))
