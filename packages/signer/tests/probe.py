"""A signer that tries to break out: on a custody of its own, each key it is asked for is one attempt.

Started by test_isolation.py the way a drill starts a signer with its own custody.
"""

import ctypes
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

sys.path += sys.argv[1 : sys.argv.index("--")]

from sealwright_signer.__main__ import main
from sealwright_signer.custody.memory import MemoryCustody

X86 = os.uname().machine == "x86_64"
LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: int) -> None:
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: os.open("/dev/null", os.O_RDONLY),
    "create": lambda: os.open("/tmp/sealwright-probe", os.O_CREAT | os.O_WRONLY),  # noqa: S108 - must fail
    "list": lambda: list(Path("/proc/self/fd").iterdir()),
    "unix_socket": lambda: socket.socket(socket.AF_UNIX),
    "tcp_socket": lambda: socket.socket(socket.AF_INET),
    "pair": socket.socketpair,
    "fork": os.fork,
    "kill": lambda: os.kill(os.getppid(), 0),
    "pipe": os.pipe,
    "memfd": lambda: os.memfd_create("probe"),
    "dumpable_again": lambda: syscall(157 if X86 else 167, 4, 1),
    "executable_page": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC | mmap.PROT_READ),
    "dump_again": lambda: mmap.mmap(-1, 4096).madvise(17),  # MADV_DODUMP
    "unlock": lambda: syscall(152 if X86 else 231),  # munlockall
    "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 - must kill
    "ptrace": lambda: syscall(101 if X86 else 117, 0),
    "read_other": lambda: syscall(310 if X86 else 270, os.getppid(), 0, 0, 0, 0, 0),
}


class ProbeCustody(MemoryCustody):
    """Tells on standard error how the attempt named by the environment's stand-in, the realm, ended."""

    def generate(self, alg: str) -> int:
        for name in TRIED:
            try:
                ATTEMPTS[name]()
                outcome = "succeeded"
            except OSError as error:
                outcome = f"failed {error.errno}"
            sys.stderr.write(f"{name} {outcome}\n")
            sys.stderr.flush()
        return super().generate(alg)


TRIED = [name for name in ATTEMPTS if name in sys.argv]


def custody(_: object) -> ProbeCustody:
    return ProbeCustody()


sys.exit(main(sys.argv[sys.argv.index("--listen-fd") :], custody=custody))
