"""The processes that scan beside this one: made here, and gone with it whatever ends it.

May never do: outlive the process that asked for them, or keep a dump open after it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2)


def pool(count: int, prepare: Callable[[], None]) -> ProcessPoolExecutor:
    """`count` fresh processes, each of which calls `prepare` first. They end with the thread that
    gives them the first work (prctl(2)), so that thread has to stay until the pool is stopped.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, partial(_begin, os.getpid(), prepare))


def _begin(parent: int, prepare: Callable[[], None]) -> None:
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends us
    prepare()


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone; end at once when it is gone already."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def stop(made: ProcessPoolExecutor, reason: type[BaseException] | None) -> None:
    """End the processes: after the work in hand, or at once when this process itself is to end."""
    if reason is not None and not issubclass(reason, Exception):
        for child in multiprocessing.active_children():
            child.kill()
    made.shutdown(cancel_futures=True)
