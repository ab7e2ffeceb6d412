"""Where the crash-dump drill is carried out: an empty folder, keys that sign nothing, controls to switch off.

May never touch a gate, a spool or a key that exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from sealwright_dumps.corpus.build import Site, make_site


class Control(StrEnum):
    """What a leaked key has to get past. All but the first two are the gate's own, under the same names."""

    SECRET_MEMORY = "secret-memory"  # noqa: S105 - the name of a control
    NO_CORE = "no-core"
    FIRST_DETECTOR = "first-detector"
    OWN_FINGERPRINTS = "own-fingerprints"
    REDACTION = "redaction"
    SECOND_DETECTOR = "second-detector"
    SNAPSHOT = "snapshot"
    APPROVAL = "approval"
    INTAKE = "intake"


class Ground:
    """The drill's place.

    Args:
        directory: removed at the end.
        disabled: controls to switch off.
    """

    def __init__(self, directory: Path, disabled: Collection[str]) -> None:
        self.directory = directory
        self.flaws = frozenset(map(str, disabled))
        self.site: Site | None = None

    def start(self) -> None:
        """Make the keys."""
        self.site = make_site()

    def stop(self) -> None:
        """Every step ends what it started."""

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.directory, ignore_errors=True)
