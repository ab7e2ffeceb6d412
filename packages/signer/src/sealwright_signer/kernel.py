"""Calls that the standard library does not offer, with the kernel's error as OSError.

May never be used for anything that can undo a measure of isolation.
"""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """The result; OSError with the call's errno when it is negative."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def prctl(option: int, value: object = 0, further: object = 0) -> int:
    """Set or ask for a property of the process."""
    return checked(libc.prctl(option, value, further, 0, 0))
