"""Every detector over one window: what a worker process does.

May never do: see more than the window, or decide what a clue means; clues are joined up when the object is
complete.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sealwright_dumps.inspect import (
    Inspector,
    Lookout,
    compression_lookouts,
    credential_lookouts,
    merge,
    structure_lookouts,
)
from sealwright_dumps.model import Hit
from sealwright_dumps.source import WINDOW, Window


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


@dataclass(frozen=True, slots=True)
class Clue:
    """A place that may matter once the whole object is known, such as a structure that points elsewhere."""

    kind: str
    offset: int
    length: int
    extra: int = 0


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The hits (offsets in the object) and clues of one window."""

    hits: tuple[Hit, ...] = ()
    clues: tuple[Clue, ...] = field(default=())


class Scanner:
    """The detectors, built once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        common = [*structure_lookouts(), *self._extra()]
        if settings.credentials:
            common += credential_lookouts()
        self._full = Inspector([*common, *compression_lookouts()], settings.engine)
        self._flat: Inspector | None = None
        self._common: list[Lookout] = common
        self.engine = self._full.engine

    def _extra(self) -> list[Lookout]:
        return []

    def inspector(self, *, compressed: bool) -> Inspector:
        """The inspector for an object; a compressed object is expanded elsewhere, so its streams are left
        alone.
        """
        if not compressed:
            return self._full
        if self._flat is None:
            self._flat = Inspector(self._common, self.settings.engine)
        return self._flat

    def window(self, window: Window, *, compressed: bool = False) -> WindowResult:
        """The hits and clues of one window."""
        hits = self.inspector(compressed=compressed).inspect(window.data, window.low, window.high)
        placed = (
            replace(hit, start=hit.start + window.base, end=hit.end + window.base) for hit in merge(hits)
        )
        return WindowResult(tuple(placed))
