"""Shuts the keeper in as far as a token's module can stand it, before that module is loaded.

A module opens files, locks them, starts threads and may talk to a network: so this is looser than what the
signer itself lives in, and says so. May never report a measure as on that has not been tried.
"""

import contextlib
import ctypes
import os
import platform
import re
import resource
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sealwright_signer.kernel import checked, libc, prctl

_READ, _WRITE, _ALL = 0b1101, 0b1_0110_0111_1111_1111, 0xFFFF  # Landlock's rights on files
_ON_FILES = 0b1100_0000_0000_0111
_SIZES = {1: (8, 13), 2: (8, 14), 3: (8, 15), 4: (16, 15), 5: (16, 16)}  # as in isolation.py
READABLE = ("/usr", "/lib", "/lib64", "/etc", "/opt", "/proc", "/sys/devices/system/cpu")
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
# Name, number on x86-64, number on aarch64 (-1: not there). Each fails with EPERM.
_DENIED = """execve 59 221, execveat 322 281, ptrace 101 117, process_vm_readv 310 270,
process_vm_writev 311 271, fork 57 -1, vfork 58 -1, bpf 321 280, perf_event_open 298 241, kexec_load 246 104,
kexec_file_load 320 294, init_module 175 105, finit_module 313 273, delete_module 176 106, mount 165 40,
umount2 166 39, pivot_root 155 41, unshare 272 97, setns 308 268, userfaultfd 323 282, add_key 248 217,
keyctl 250 219, io_uring_setup 425 425, pidfd_getfd 438 438"""
_SOCKET = {"x86_64": 41, "aarch64": 198}
_ARCH = {"x86_64": (1, 0xC000003E), "aarch64": (2, 0xC00000B7)}
_LD, _JEQ, _JGE, _RET, _KILL, _EPERM, _ALLOW = 0x20, 0x15, 0x35, 0x06, 0x80000000, 0x00050001, 0x7FFF0000
Shown = tuple[bool, str]


def _fails(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


def _not_dumpable() -> Shown:
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    prctl(4, 0)
    return prctl(3) == 0, "no core, no debugger of the same user; the PIN and a software token are in here"


def _locked_memory() -> Shown:
    """All or nothing: under a limit a module's next thread could find no memory."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and os.geteuid():
        raise OSError(0, "RLIMIT_MEMLOCK is not unlimited")
    checked(libc.mlockall(7))  # what is there and what will be, each page once it is touched
    locked = re.search(r"VmLck:\s+([1-9]\d*) kB", Path("/proc/self/status").read_text())
    return locked is not None, "neither the PIN nor a software token's keys are ever swapped out"


def _no_new_privileges() -> Shown:
    prctl(38, 1)
    return prctl(39) == 1, "no set-user-id program has an effect"


def _allow(ruleset: int, place: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
        rights &= _ALL if Path(place).is_dir() else _ON_FILES
        checked(libc.syscall(445, ruleset, 1, struct.pack("=Qi", rights, opened), 0))
        os.close(opened)


def _landlock(named: Sequence[str], reach: Sequence[str], network: bool) -> Shown:  # noqa: FBT001 - a setting
    version = checked(libc.syscall(444, None, 0, 1))
    size, count = _SIZES.get(version, (24, 16))
    known = (1 << count) - 1
    ruleset = checked(libc.syscall(444, struct.pack("QQQ", known, 1 if network else 3, 3)[:size], size, 0))
    for place in (*READABLE, *sys.path, *DEVICES, *named):
        if place.startswith("/"):
            _allow(ruleset, place, _READ & known)
    for place in reach:
        _allow(ruleset, place, (_READ | _WRITE) & known)
    checked(libc.syscall(446, ruleset, 0))
    os.close(ruleset)
    where = ", ".join(reach) or "nowhere"
    return _fails(lambda: os.open("/", os.O_RDONLY)), f"reads programs and settings, writes beneath: {where}"


def _seccomp(network: bool) -> Shown:  # noqa: FBT001 - a setting
    if (machine := platform.machine()) not in _ARCH:
        raise OSError(0, f"no table of system calls for {machine}")
    column, arch = _ARCH[machine]
    lines = [(_LD, 0, 0, 4), (_JEQ, 1, 0, arch), (_RET, 0, 0, _KILL), (_LD, 0, 0, 0)]
    lines += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, _KILL)]
    for call in _DENIED.split(","):
        if (number := int(call.split()[column])) >= 0:
            lines += [(_JEQ, 0, 1, number), (_RET, 0, 0, _EPERM)]
    if not network:
        lines += [(_JEQ, 0, 4, _SOCKET[machine]), (_LD, 0, 0, 16), (_JEQ, 1, 0, socket.AF_UNIX)]
        lines += [(_RET, 0, 0, _EPERM), (_RET, 0, 0, _ALLOW)]
    program = b"".join(struct.pack("HBBI", *line) for line in [*lines, (_RET, 0, 0, _ALLOW)])
    buffer = ctypes.create_string_buffer(program, len(program))
    prctl(22, 2, struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    shut = _fails(lambda: os.execv("/bin/true", ["true"]))  # noqa: S606 - must fail
    if network:
        return shut, "no other program, no debugging, no modules; may talk to the network (custody.network)"
    shut = shut and _fails(lambda: socket.socket(socket.AF_INET).close())
    return shut, "no other program, no debugging, no modules, no network"


def shut_in(named: Sequence[str], reach: Sequence[str], *, network: bool) -> list[dict[str, str]]:
    """Take every measure that the host allows; each as `hello` shows it.

    What `named` lists may be read, as the module's settings; beneath `reach` files may be written too.
    """
    report = []
    measures: dict[str, Callable[[], Shown]] = {"locked_memory": _locked_memory}
    measures |= {"not_dumpable": _not_dumpable}
    measures |= {
        "no_new_privileges": _no_new_privileges,
        "landlock": lambda: _landlock(named, reach, network),
    }
    measures["seccomp"] = lambda: _seccomp(network)
    for name, measure in measures.items():
        try:
            works, reason = measure()
            state = "on" if works else "off"
        except OSError as error:
            state, reason = "impossible", error.strerror or str(error)
        report.append({"measure": f"custody_{name}", "state": state, "reason": reason})
    return report
