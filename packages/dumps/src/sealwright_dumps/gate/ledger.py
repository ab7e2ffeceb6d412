"""The gate's own log of steps: each line holds the digest of the line before, so that none can be taken out.

With an authority at hand each step is entered in its ledger as well (gate/authority.py; the port is
`Ledger`). May never do: hold content, or let a step happen that could not be written down first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sealwright_dumps import clock
from sealwright_dumps.errors import Refused, Unavailable

START = "0" * 64


class Ledger(Protocol):
    """Takes the gate's steps."""

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        """Make one step durable. Raises Unavailable; then the step must not be taken."""
        ...


class FileLedger:
    """A chained log in a file of JSON lines, safe for several processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        """Add a line, durably."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                count, before = _tail(file.read())
                line = {
                    "index": count,
                    "before": before,
                    "time": clock.now().isoformat(),
                    "step": step,
                } | dict(fields)
                file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(
                "ledger-unwritable", "the gate's ledger cannot be written", str(error)
            ) from error


def _tail(raw: bytes) -> tuple[int, str]:
    if raw and not raw.endswith(b"\n"):
        raise Refused("ledger-damaged", "the gate's ledger ends in half a line")
    lines = raw.splitlines()
    return len(lines), hashlib.sha256(lines[-1]).hexdigest() if lines else START


def require_unbroken(path: Path) -> int:
    """The number of steps in a log whose chain holds. Raises Refused where it does not."""
    before = START
    lines = path.read_bytes().splitlines()
    for index, line in enumerate(lines):
        try:
            body = json.loads(line)
        except ValueError as error:
            raise Refused("ledger-damaged", f"line {index} of the gate's ledger is not JSON") from error
        if body.get("before") != before or body.get("index") != index:
            raise Refused("ledger-damaged", f"the chain of the gate's ledger breaks at line {index}")
        before = hashlib.sha256(line).hexdigest()
    return len(lines)
