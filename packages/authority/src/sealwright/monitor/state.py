"""The monitor's memory on disk: how far each log was read, so that a rollback over a restart is seen.

May never hold anything that was not verified. Whoever can write this file can make the monitor forget, never
make it believe: heads are compared with it, and a key in it only says what the log's own entries said.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sealwright.errors import Misconfigured
from sealwright.files import make_private_directory, read_private, write_private
from sealwright.monitor.leaves import KeyLife
from sealwright.monitor.model import Alarm


class SavedLog(msgspec.Struct, frozen=True):
    """One log. `roots` are the subtree roots in hex, keys by the hex of their id, manifests newest last."""

    origin: str
    public: str
    size: int
    roots: list[str]
    keys: dict[str, KeyLife]
    manifests: list[str]
    closed: bool


class Saved(msgspec.Struct, frozen=True):
    """Everything; `kept` are the alarms about entries, each with its subject."""

    logs: dict[str, SavedLog] = {}
    kept: list[tuple[str, Alarm]] = []
    format: int = 1


class StateFile:
    """`monitor.json` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        make_private_directory(directory)
        self._file = directory / "monitor.json"
        self.trust = directory / "trust.json"

    def load(self) -> Saved:
        """What was saved; nothing at the first start.

        Raises:
            Misconfigured: `monitor_state`: it cannot be used.
        """
        if not self._file.exists():
            return Saved()
        try:
            return msgspec.json.decode(read_private(self._file), type=Saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text = (
                f"{self._file} cannot be used ({error}); remove it only if you mean to forget what was seen"
            )
            raise Misconfigured("monitor_state", text) from error

    def save(self, saved: Saved) -> None:
        """Replace it, durably.

        Raises:
            Misconfigured: `monitor_state`: it cannot be written; what it said before stays.
        """
        try:
            write_private(self._file, msgspec.json.encode(saved))
        except OSError as error:
            text = f"{self._file} cannot be written: {error.strerror}"
            raise Misconfigured("monitor_state", text) from error
