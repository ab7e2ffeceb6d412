"""What a child process does so that it does not outlive its supervisor.

Linux only (prctl PR_SET_PDEATHSIG); elsewhere a child that loses its supervisor must be ended by hand, and is
told so.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends, however it ends.

    Args:
        parent: process id of the supervisor; when it is not our parent any more, it has died already.

    Raises:
        SystemExit: the parent has died already.
    """
    if not sys.platform.startswith("linux"):
        log.warning("this platform cannot end a child with its supervisor")
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        log.warning("PR_SET_PDEATHSIG refused", extra={"facts": {"errno": ctypes.get_errno()}})
    if os.getppid() != parent:
        raise SystemExit(1)
