"""Facts about this host that matter to a process that holds keys. Reads only, and reads only public
pseudo-files.

May never call a host good: it says what was found and what that means.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

LEAST_FREE = 1 << 30
"""Bytes: a ledger of some four million tokens."""
SECRET_MEMORY = 128 << 20
"""Bytes: what a signer locks when it moves its memory onto secret pages, with some room."""
CAP_IPC_LOCK = 14
TEE_DEVICES = {
    "dev/sev-guest": "AMD SEV-SNP guest",
    "dev/tdx_guest": "Intel TDX guest",
    "dev/nsm": "AWS Nitro enclave",
    "sys/kernel/config/tsm/report": "configfs-tsm (SEV-SNP or TDX guest)",
}
TPM_DEVICES = ("dev/tpmrm0", "dev/tpm0")


class Verdict(StrEnum):
    """What a fact means for keys."""

    GOOD = "good"
    WEAK = "weak"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was found, what it means, and why."""

    name: str
    found: str
    verdict: Verdict
    reason: str


Reader = Callable[[Path, Path], Fact]


def host_facts(state: Path, root: Path = Path("/")) -> list[Fact]:
    """Every fact.

    Args:
        state: the state directory (its disk is looked at); it need not exist.
        root: where the pseudo-files are; another one in tests.
    """
    return [read(root, state) for read in _FACTS]


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def _system(_root: Path, _state: Path) -> Fact:
    good = sys.platform.startswith("linux")
    why = "isolation needs Linux" if not good else "seccomp, Landlock and prctl are Linux's"
    return Fact(
        "system", f"{platform.system()} {platform.release()}", Verdict.INFO if good else Verdict.WEAK, why
    )


def _python(_root: Path, _state: Path) -> Fact:
    return Fact(
        "python",
        f"{platform.python_version()} {sys.executable}",
        Verdict.INFO,
        "the signer runs on the same one",
    )


def _user(_root: Path, _state: Path) -> Fact:
    if os.geteuid() == 0:
        return Fact(
            "user",
            "root",
            Verdict.WEAK,
            "whoever takes the authority over is root: run it as a user of its own",
        )
    return Fact("user", str(os.geteuid()), Verdict.GOOD, "not root")


def _tee(root: Path, _state: Path) -> Fact:
    found = [what for path, what in TEE_DEVICES.items() if (root / path).exists()]
    if found:
        return Fact("TEE", ", ".join(found), Verdict.GOOD, "hardware evidence may be collected here")
    return Fact(
        "TEE", "none", Verdict.WEAK, "root on this machine can read a process's memory; evidence is none"
    )


def _tpm(root: Path, _state: Path) -> Fact:
    found = [path for path in TPM_DEVICES if (root / path).exists()]
    if found:
        return Fact("TPM", "/" + found[0], Verdict.INFO, "a TPM quote may be collected here")
    return Fact("TPM", "none", Verdict.INFO, "no TPM device is visible")


def _swap(root: Path, _state: Path) -> Fact:
    lines = _text(root / "proc/swaps").splitlines()[1:]
    if not lines:
        return Fact("swap", "off", Verdict.GOOD, "no page is ever written to disk")
    devices = ", ".join(line.split()[0] for line in lines)
    return Fact(
        "swap",
        devices,
        Verdict.WEAK,
        "pages that are not locked may be written there: switch it off or encrypt it",
    )


def _core(root: Path, _state: Path) -> Fact:
    pattern = _text(root / "proc/sys/kernel/core_pattern")
    if not pattern:
        return Fact("core_pattern", "unknown", Verdict.INFO, "it cannot be read here")
    if pattern.startswith(("|", "@")):
        return Fact(
            "core_pattern",
            pattern,
            Verdict.INFO,
            "dumps go to a program; for the signer see not_dumpable and no_core",
        )
    return Fact(
        "core_pattern",
        pattern,
        Verdict.INFO,
        "dumps go to files; for the signer see not_dumpable and no_core",
    )


def _ptrace(root: Path, _state: Path) -> Fact:
    scope = _text(root / "proc/sys/kernel/yama/ptrace_scope")
    if scope in {"1", "2", "3"}:
        return Fact(
            "ptrace_scope", scope, Verdict.GOOD, "processes of one user cannot trace each other at will"
        )
    reason = "processes of one user may trace each other: set kernel.yama.ptrace_scope to 1 or more"
    return Fact("ptrace_scope", scope or "no Yama", Verdict.WEAK, reason)


def _security_modules(root: Path, _state: Path) -> Fact:
    active = _text(root / "sys/kernel/security/lsm")
    if "landlock" in active:
        return Fact("security modules", active, Verdict.GOOD, "Landlock is active")
    reason = (
        "the list is not readable here"
        if not active
        else "Landlock is not active: the signer's file rules rest on seccomp"
    )
    return Fact("security modules", active or "unknown", Verdict.INFO if not active else Verdict.WEAK, reason)


def memory_shortage(root: Path = Path("/")) -> str:
    """Why a signer cannot keep its keys on secret pages as this user, and what to do; empty when it can."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    status = _text(root / "proc/self/status")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    if (
        soft in (-1, resource.RLIM_INFINITY)
        or soft >= SECRET_MEMORY
        or int(effective, 16) >> CAP_IPC_LOCK & 1
    ):
        return ""
    need = SECRET_MEMORY >> 20
    return (
        f"RLIMIT_MEMLOCK is {soft >> 20} MiB, {need} are needed: LimitMEMLOCK={need}M in a systemd unit, "
        f"memlock in limits.conf, or `ulimit -l {SECRET_MEMORY >> 10}`"
    )


def _locked_memory(root: Path, _state: Path) -> Fact:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if shortage := memory_shortage(root):
        found = f"{soft >> 10} KiB"
        return Fact("memory that may be locked", found, Verdict.WEAK, f"no secret memory: {shortage}")
    if soft == resource.RLIM_INFINITY:
        return Fact(
            "memory that may be locked",
            "unlimited",
            Verdict.GOOD,
            "the signer can keep its pages out of swap",
        )
    return Fact(
        "memory that may be locked",
        f"{soft >> 10} KiB",
        Verdict.INFO,
        "see the signer's measures for what it locked",
    )


def _disk(_root: Path, state: Path) -> Fact:
    there = next(place for place in (state, *state.parents) if place.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / (1 << 30):.1f} GiB free at {there}"
    if free < LEAST_FREE:
        return Fact("disk", found, Verdict.WEAK, "the ledger grows by about 250 bytes a token")
    return Fact("disk", found, Verdict.GOOD, "the ledger grows by about 250 bytes a token")


_FACTS: tuple[Reader, ...] = (
    _system, _python, _user, _tee, _tpm, _swap, _core, _ptrace, _security_modules, _locked_memory, _disk,
)  # fmt: skip
