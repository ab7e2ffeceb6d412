"""The one place where the signer reads the time. May never be asked for anything but seconds since 1970."""

import time


def wall() -> float:
    """The wall clock in seconds since 1970."""
    return time.time()
