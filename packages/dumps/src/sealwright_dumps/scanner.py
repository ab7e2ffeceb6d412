"""Every detector over one window: what a worker process does.

May never do: see more than the window, or decide what a clue means; clues are joined up when the object is
complete.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from sealwright_dumps.detectors import public
from sealwright_dumps.detectors.memory import Clue, Memory
from sealwright_dumps.fingerprint import Fingerprints
from sealwright_dumps.inspect import (
    Inspector,
    Lookout,
    coefficient_lookouts,
    compression_lookouts,
    credential_lookouts,
    lookouts_of,
    merge,
    own_lookouts,
    structure_lookouts,
)
from sealwright_dumps.model import Hit
from sealwright_dumps.source import WINDOW, Window

LEAST_EXPANSION = 4 << 30  # bytes: the limit of a small file


@dataclass(frozen=True, slots=True)
class Settings:
    """What to look for and how far to go. Picklable: workers build their scanner from it."""

    engine: str = ""
    credentials: bool = True
    exhaustive: bool = False
    fingerprints: tuple[str, ...] = ()
    public_keys: tuple[str, ...] = ()
    window: int = WINDOW
    workers: int = 0  # 0: one per processor
    deepest: int = 4
    largest_expansion: int = 64 << 30
    largest_ratio: int = 1000  # what comes out of one byte of a file that expands to more than 4 GiB

    def expansion(self, size: int) -> int:
        """How many bytes may come out of a file of `size` bytes."""
        return min(self.largest_expansion, max(LEAST_EXPANSION, self.largest_ratio * size))


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The hits (offsets in the object) and clues of one window."""

    hits: tuple[Hit, ...] = ()
    clues: tuple[Clue, ...] = field(default=())
    overflow: bool = False


class Scanner:
    """The detectors, built once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.known = public.load(Path(path) for path in settings.public_keys)
        self.memory = Memory(settings.engine, tuple(self.known.moduli) if settings.exhaustive else ())
        common = [*structure_lookouts(), *coefficient_lookouts(), *own_lookouts(settings.fingerprints)]
        if settings.credentials:
            common += credential_lookouts()
        self._full = Inspector(
            [*common, *compression_lookouts(exhaustive=settings.exhaustive)], settings.engine
        )
        self._flat: Inspector | None = None
        self._common: list[Lookout] = common
        self.engine = self._full.engine

    def rules_digest(self) -> str:
        """SHA-256 of every literal that is looked for: which rules were in force."""
        return self._full.digest

    def probe_own(self, made: Fingerprints, data: bytes) -> bool:
        """Whether fingerprints are found in `data` by this engine: a self-test."""
        return bool(Inspector(lookouts_of(made), self.engine).inspect(data))

    def inspector(self, *, compressed: bool) -> Inspector:
        """The inspector for an object; a compressed object is expanded elsewhere, so its streams are left
        alone.
        """
        if not compressed:
            return self._full
        if self._flat is None:
            self._flat = Inspector(self._common, self.settings.engine)
        return self._flat

    def window(
        self, window: Window, shifts: tuple[int, ...] = (0,), *, compressed: bool = False
    ) -> WindowResult:
        """The hits and clues of one window. `shifts`: offsets of the object's words, modulo eight."""
        inspector = self.inspector(compressed=compressed)
        hits = inspector.inspect(window.data, window.low, window.high)
        if compressed:  # no words in there
            return WindowResult(tuple(_placed(hit, window.base) for hit in hits))
        if self.settings.exhaustive:  # words at any even multiple of four, whatever the layout says
            shifts = tuple(sorted({*shifts, 0, 4}))
        shifts = tuple((shift - window.base) % 8 for shift in shifts)
        found = self.memory.search(window.data, window.low, window.high, shifts)
        clues = tuple(replace(clue, offset=clue.offset + window.base) for clue in found.clues)
        every = merge([*hits, *found.hits])
        return WindowResult(tuple(_placed(hit, window.base) for hit in every), clues, found.overflow)


def _placed(hit: Hit, base: int) -> Hit:
    return replace(hit, start=hit.start + base, end=hit.end + base)
