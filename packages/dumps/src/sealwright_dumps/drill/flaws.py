"""The gate without one of its controls, for as long as a drill asks.

What the control stood for is taken out of the running program; the attack meets the rest as it is.
May never do: outlive the attack. The gate's own program does not import this.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealwright_dumps.gate import service as gate_service
from sealwright_dumps.inspect import Inspector
from sealwright_dumps.redact import elf, service
from sealwright_dumps.redact.keep import Piece
from sealwright_dumps.redact.snapshot import Snapshot, digest_of


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any, *, when: bool = True) -> Iterator[None]:
    """A module or class whose member is another one for a while."""
    before = vars(owner)[name]
    if when:
        setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def blind_first_detector(*, when: bool) -> contextlib.AbstractContextManager[None]:
    """Every pattern and fingerprint is looked for nowhere."""
    return replaced(Inspector, "inspect", lambda *_args, **_named: [], when=when)


def no_redaction(*, when: bool) -> contextlib.AbstractContextManager[None]:
    """The whole dump is kept."""
    everything = lambda snapshot, _layout: iter([Piece(0, snapshot.read(0, snapshot.size), "all")])  # noqa: E731
    return replaced(elf, "plan", everything, when=when)


def careless_redactor() -> contextlib.AbstractContextManager[None]:
    """Every word of a stack is kept: a redactor with a fault, which is an attack and no control."""
    return replaced(elf, "stack_words", lambda data, _stack, _code: data)


def no_second_detector(*, when: bool) -> contextlib.AbstractContextManager[None]:
    """The real process is asked, and believed only where it refuses the spoiled copy."""
    real, asked = service.ask, [0]

    def ask(descriptor: int, fingerprints: tuple[str, ...]) -> dict[str, Any]:
        asked[0] += 1
        said = real(descriptor, fingerprints)
        return said if asked[0] % 2 else said | {"clean": True, "findings": []}

    return replaced(service, "ask", ask, when=when)


def open_anything(*, when: bool) -> contextlib.AbstractContextManager[None]:
    """Intake follows links, takes files with a second name, and opens pipes."""
    return replaced(
        gate_service, "open_once", lambda path: os.open(path, os.O_RDONLY | os.O_NONBLOCK), when=when
    )


def live_file(path: Path, later: bytes, *, when: bool) -> contextlib.AbstractContextManager[None]:
    """Redaction reads the file itself; after it was scanned its owner writes `later` into it."""

    @contextlib.contextmanager
    def take(_source: object, _folder: Path, _largest: int) -> Iterator[_Live]:
        with path.open("rb") as file:
            yield _Live(file.fileno(), path, later)

    return replaced(gate_service, "take", take, when=when)


class _Live:
    """What a snapshot is to the redactor, with nothing behind it that stays as it is."""

    def __init__(self, descriptor: int, path: Path, later: bytes) -> None:
        self.descriptor, self.path, self._later = descriptor, path, later
        self.size, self.sha256 = os.fstat(descriptor).st_size, digest_of(descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes as they are by then."""
        self.path.write_bytes(self._later)
        return Snapshot(self.descriptor, self.size, self.sha256, sealed=False).read(offset, length)

    def require_unchanged(self) -> None:
        """Nothing is promised."""
