"""Shuts the process in: in the end it can compute, and talk on descriptors that it has, and nothing else.

Every measure is tried out after it was taken. May never report one as on because a call returned zero.
"""

import ctypes
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sealwright_signer.guardian import no_debugger
from sealwright_signer.kernel import checked, libc, prctl
from sealwright_signer.secretmem import secret_memory, writable_flags

# Name, number on x86-64, number on aarch64 (-1: not there). Whatever is not listed fails with EPERM.
_ALLOWED = """read 0 63, write 1 64, close 3 57, shutdown 48 210, sendto 44 206, recvfrom 45 207,
accept4 288 242, getsockname 51 204, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -1,
epoll_pwait 281 22, munmap 11 215, mremap 25 216, brk 12 214, futex 202 98, getrandom 318 278,
clock_gettime 228 113, sched_yield 24 124, getpid 39 172, getppid 110 173, gettid 186 178,
rt_sigreturn 15 139, rt_sigprocmask 14 135, rt_sigaction 13 134, sigaltstack 131 132, restart_syscall 219 128,
exit 60 93, exit_group 231 94"""
_FATAL = """execve 59 221, execveat 322 281, ptrace 101 117,
process_vm_readv 310 270, process_vm_writev 311 271"""
_ARCH = {"x86_64": (1, 0xC000003E), "aarch64": (2, 0xC00000B7)}  # column above, AUDIT_ARCH
_KILL, _EPERM, _ALLOW = 0x80000000, 0x00050001, 0x7FFF0000
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_LIMITED = (  # call, offset of an argument in struct seccomp_data, test that falls through to EPERM
    ("mmap 9 222, mprotect 10 226", 32, (_JSET, 0, 1, 4)),  # no PROT_EXEC
    ("ioctl 16 29", 24, (_JEQ, 1, 0, 0x5421)),  # FIONBIO only
    ("madvise 28 233", 32, (_JEQ, 1, 0, 4)),  # MADV_DONTNEED only: nothing makes memory dumpable again
)
# Sizes of struct landlock_ruleset_attr and numbers of file rights, by version of the interface.
_LANDLOCK = {1: (8, 13), 2: (8, 14), 3: (8, 15), 4: (16, 15), 5: (16, 16)}


def _fails(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


def _program(machine: str) -> bytes:
    """The seccomp filter: allow-list, EPERM by default, death for what no honest run ever tries."""
    column, arch = _ARCH[machine]
    refuse, allow = (_RET, 0, 0, _EPERM), (_RET, 0, 0, _ALLOW)
    lines = [(_LD, 0, 0, 4), (_JEQ, 1, 0, arch), (_RET, 0, 0, _KILL), (_LD, 0, 0, 0)]
    lines += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, _KILL)]  # the x32 numbers

    def numbers(calls: str) -> list[int]:
        return [n for call in calls.split(",") if (n := int(call.split()[column])) >= 0]

    for number in numbers(_ALLOWED):
        lines += [(_JEQ, 0, 1, number), allow]
    for calls, offset, test in _LIMITED:
        for number in numbers(calls):
            lines += [(_JEQ, 0, 4, number), (_LD, 0, 0, offset), test, refuse, allow]
    for number in numbers(_FATAL):
        lines += [(_JEQ, 0, 1, number), (_RET, 0, 0, _KILL)]
    return b"".join(struct.pack("HBBI", *line) for line in [*lines, refuse])


def _own_session() -> tuple[bool, str]:
    with suppress(PermissionError):  # we lead one already
        os.setsid()
    return os.getsid(0) == os.getpid(), "a terminal's signals do not arrive"


def _dies_with_parent() -> tuple[bool, str]:
    prctl(1, signal.SIGKILL)
    prctl(2, ctypes.byref(told := ctypes.c_int()))
    return told.value == signal.SIGKILL, "SIGKILL when the thread that started this process ends"


def _isolated_interpreter() -> tuple[bool, str]:
    return bool(sys.flags.isolated and sys.flags.no_site), "-I -S: no PYTHON variables, no .pth files"


def _no_core() -> tuple[bool, str]:
    with suppress(ValueError):  # a hard limit of 0 cannot be raised
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    return max(resource.getrlimit(resource.RLIMIT_CORE)) <= 1, "limit 1 stops pipe handlers too, 0 does not"


def _empty_core() -> tuple[bool, str]:
    file = Path("/proc/self/coredump_filter")
    file.write_text("0")
    return int(file.read_text(), 16) == 0, "a core, forced by whatever means, has no memory in it"


def _locked_memory() -> tuple[bool, str]:
    locked = libc.mlockall(7)  # what is there and what will be, each page once it is touched
    if locked < 0 and not all("lo" in flags for flags in writable_flags()):
        checked(locked)
    return all("lo" in flags for flags in writable_flags()), "nothing that can be written is ever swapped out"


def _no_new_privileges() -> tuple[bool, str]:
    prctl(38, 1)
    return prctl(39) == 1, "no set-user-id program has an effect"


def _landlock() -> tuple[bool, str]:
    version = checked(libc.syscall(444, None, 0, 1))
    size, rights = _LANDLOCK.get(version, (24, 16))
    rules = struct.pack("QQQ", (1 << rights) - 1, 3, 3)[:size]  # files, TCP, abstract sockets and signals
    ruleset = checked(libc.syscall(444, rules, size, 0))
    checked(libc.syscall(446, ruleset, 0))
    os.close(ruleset)
    return _fails(
        lambda: os.open("/", os.O_RDONLY)
    ), f"no rules, so no file can be opened (version {version})"


def _not_dumpable() -> tuple[bool, str]:
    prctl(4, 0)
    return prctl(3) == 0, "no core by any route, no debugger of the same user"


def _seccomp() -> tuple[bool, str]:
    if platform.machine() not in _ARCH:
        raise OSError(0, f"no table of system calls for {platform.machine()}")
    program = _program(platform.machine())
    buffer = ctypes.create_string_buffer(program, len(program))
    prctl(22, 2, struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    tried = (
        lambda: os.open("/", os.O_RDONLY),
        lambda: socket.socket(socket.AF_UNIX),
        os.fork,
        lambda: os.kill(1, 0),
    )
    return all(map(_fails, tried)), f"{len(program) // 8} instructions; open, socket, fork, kill fail"


Measure = Callable[[], tuple[bool, str]]
BEFORE_KEYS: tuple[Measure, ...] = (_own_session, _dies_with_parent, no_debugger, secret_memory)
WITH_KEYS: tuple[Measure, ...] = (_isolated_interpreter, _no_core, _empty_core, _locked_memory)
WITH_KEYS += (_no_new_privileges, _landlock, _not_dumpable, _seccomp)


def take(measures: tuple[Measure, ...]) -> list[dict[str, str]]:
    """Take every measure that the host allows; each is on, off (no effect seen) or impossible here."""
    report = []
    for measure in measures:
        try:
            works, reason = measure()
            state = "on" if works else "off"
        except OSError as error:
            state, reason = "impossible", error.strerror or str(error)
        report.append({"measure": measure.__name__.strip("_"), "state": state, "reason": reason})
    return report
