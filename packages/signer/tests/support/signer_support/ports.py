"""Loopback ports for tests that start programs on them later."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket


def reserved_port() -> int:
    """A loopback port that is still free when it is used.

    It is below those that the kernel gives away by itself, and no other process of these tests gets the same
    while this one lives: each holds an abstract name for its ports, which ends with the process.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as name:
            name.bind(f"\0sealwright-test-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
            os.dup(name.fileno())  # held until this process ends
            return port
