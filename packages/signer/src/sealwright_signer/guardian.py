"""Holds the signer's only ptrace slot, from a process of its own, so that no debugger can take it.

Forked before the first key exists. Whoever ends the guardian ends the signer (PTRACE_O_EXITKILL).
May never read or change anything in the signer: it only passes signals on.
"""

import ctypes
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from sealwright_signer.kernel import checked, libc, prctl

_CONT, _SEIZE, _LISTEN, _EXITKILL, _EVENT_STOP, _WALL = 7, 0x4206, 0x4208, 0x00100000, 128, 0x40000000
_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def _ptrace(request: int, pid: int, data: int) -> None:
    checked(libc.ptrace(request, pid, ctypes.c_void_p(), ctypes.c_void_p(data)))


def _guard(signer: int, told: int) -> NoReturn:
    os.closerange(0, told)
    os.closerange(told + 1, 1024)
    try:
        prctl(1, signal.SIGKILL)
        prctl(4, 0)
        _ptrace(_SEIZE, signer, _EXITKILL)
    except OSError as error:
        os.write(told, os.strerror(error.errno or 0).encode())
        os._exit(1)
    os.close(told)
    with suppress(OSError):  # the signer is gone
        while os.WIFSTOPPED(status := os.waitpid(signer, _WALL)[1]):
            stopped, event = os.WSTOPSIG(status), status >> 16
            if event == _EVENT_STOP and stopped in _STOPS:
                _ptrace(_LISTEN, signer, 0)
            else:
                _ptrace(_CONT, signer, 0 if event else stopped)
    os._exit(0)


def no_debugger() -> tuple[bool, str]:
    """Start the guardian; OSError where the host lets nobody trace."""
    with suppress(OSError):
        # PR_SET_PTRACER, any: where Yama asks for it, until the guardian is there
        prctl(0x59616D61, ctypes.c_long(-1))
    told, tell = os.pipe()
    signer, guardian = os.getpid(), os.fork()
    if guardian == 0:
        _guard(signer, tell)
    os.close(tell)
    with os.fdopen(told, "rb") as answer:
        refused = answer.read().decode()
    with suppress(OSError):
        prctl(0x59616D61, 0)
    if refused:
        os.waitpid(guardian, 0)
        raise OSError(0, f"tracing is not allowed here: {refused}")
    tracer = re.search(r"TracerPid:\t(\d+)", Path("/proc/self/status").read_text())
    return bool(tracer and int(tracer.group(1)) == guardian), f"process {guardian} holds the ptrace slot"
