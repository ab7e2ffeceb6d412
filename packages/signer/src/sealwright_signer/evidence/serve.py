"""The collector's own process: answers the signer's questions for evidence, one after another.

Forked before the first key exists, and loaded there only. May never raise into the signer's program.
"""

import os
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sealwright_signer.kernel import prctl
from sealwright_signer.protocol import encode

LARGEST = 1 << 18  # bytes of a question


def run(asked: socket.socket, collect: Callable[..., dict[str, Any]], name: str, place: Path) -> NoReturn:
    """Be the collector of this name: `collect` at `place`, until the signer ends."""
    os.closerange(3, asked.fileno())
    os.closerange(asked.fileno() + 1, 1024)
    prctl(1, signal.SIGKILL)
    while message := asked.recv(LARGEST):
        wide, narrow, nonce = message[:64], message[64:96], message[96:]
        try:
            found = collect(place, nonce, wide, narrow)
        except (OSError, ValueError, LookupError, struct.error) as error:
            found = {"note": f"{name} at {place}: {type(error).__name__}: {error}"}
        try:
            asked.send(encode({"nonce": nonce.hex(), **found}).encode())
        except OSError as error:
            asked.send(encode({"nonce": nonce.hex(), "note": f"too large: {error}"}).encode())
    os._exit(0)
