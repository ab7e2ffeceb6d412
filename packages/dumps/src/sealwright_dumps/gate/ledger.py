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
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from sealwright_dumps import clock
from sealwright_dumps.errors import Refused, Unavailable
from sealwright_dumps.redact.snapshot import write_all

START = "0" * 64


class Ledger(Protocol):
    """Takes the gate's steps."""

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        """Make one step durable. Raises Unavailable; then the step must not be taken."""
        ...

    def last_step(self, name: str) -> str:
        """The last step of a dump, or nothing. Raises Refused or Unavailable."""
        ...


@dataclass(slots=True)
class _Place:
    """How far a chain has been checked: bytes and their digest, lines, and the digest of the last one."""

    size: int = 0
    count: int = 0
    before: str = START
    sha256: str = hashlib.sha256().hexdigest()


class FileLedger:
    """A chained log in a file of JSON lines, safe for several processes. A broken chain takes no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked = _Place()

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        """Add a line, durably. Raises Unavailable, or Refused when the lines before it do not hold."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                place = self._check(file)
                line = {
                    "index": place.count,
                    "before": place.before,
                    "time": clock.now().isoformat(),
                    "step": step,
                } | dict(fields)
                _add(file, json.dumps(line, sort_keys=True).encode() + b"\n", place.size)
        except OSError as error:
            raise Unavailable(
                "ledger-unwritable", "the gate's ledger cannot be written", str(error)
            ) from error

    def last_step(self, name: str) -> str:
        """The last step of a dump, or nothing. Raises Refused where the chain does not hold."""
        about = (str(s["step"]) for s in reversed(require_unbroken(self._path)) if s.get("name") == name)
        return next(about, "")

    def _check(self, file: FileIO) -> _Place:
        """The end of the chain. What was checked before must still be the same; the rest is followed."""
        raw, known = file.readall(), self._checked
        if hashlib.sha256(raw[: known.size]).hexdigest() != known.sha256:
            raise Refused("ledger-damaged", "the gate's ledger was changed while the gate ran")
        _, place = _follow(raw[known.size :], known)
        place.sha256 = hashlib.sha256(raw).hexdigest()
        self._checked = place
        return place


def _add(file: FileIO, line: bytes, at: int) -> None:
    """The whole line or nothing of it: half a line would be damage."""
    try:
        write_all(file.fileno(), line, at)
        os.fsync(file.fileno())
    except OSError:
        file.truncate(at)
        raise


def _follow(raw: bytes, place: _Place) -> tuple[list[dict[str, Any]], _Place]:
    """The lines of a piece of the chain, and the place behind them. Raises Refused where it does not hold."""
    if raw and not raw.endswith(b"\n"):
        raise Refused("ledger-damaged", "the gate's ledger ends in half a line")
    steps: list[dict[str, Any]] = []
    count, before = place.count, place.before
    for line in raw.split(b"\n")[:-1]:
        try:
            body = json.loads(line)
            fits = body["before"] == before and body["index"] == count and isinstance(body["step"], str)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Refused("ledger-damaged", f"line {count} of the gate's ledger is not a step") from error
        if not fits:
            raise Refused("ledger-damaged", f"the chain of the gate's ledger breaks at line {count}")
        steps.append(body)
        count, before = count + 1, hashlib.sha256(line).hexdigest()
    return steps, _Place(place.size + len(raw), count, before)


def require_unbroken(path: Path) -> list[dict[str, Any]]:
    """The steps in a log whose chain holds; none where there is no log. Raises Refused or Unavailable."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable("ledger-unreadable", "the gate's ledger cannot be read", str(error)) from error
    return _follow(raw, _Place())[0]
