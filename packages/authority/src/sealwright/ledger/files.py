"""Where the published files of each log are: in the ledger's own directory, or in cold storage.

A file keeps its name when it moves (docs/formats/ledger.md), so whoever asks for it need not know. This
module reads; it may never write or choose between two different contents: what is hot wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sealwright.ledger.tiles import WIDTH, tile_path

CHECKPOINT = "checkpoint"
LOG_LIST = "log-list.json"


@dataclass(frozen=True, slots=True)
class LedgerFiles:
    """The directory that is served, and the one that old segments move to (None: nothing moves)."""

    hot: Path
    cold: Path | None = None

    def find(self, log_id: str, name: str) -> Path | None:
        """The file of this name, for example `tile/0/x001/234`."""
        for directory in (self.hot, self.cold):
            if directory is not None and (found := directory / log_id / name).is_file():
                return found
        return None

    def checkpoint(self, log_id: str) -> str | None:
        """The published checkpoint, with every cosignature that it carries; None before the first."""
        file = self.find(log_id, CHECKPOINT)
        return file.read_text(encoding="utf-8") if file else None

    def tile(self, log_id: str, kind: str, number: int, width: int) -> bytes | None:
        """The first `width` entries of a tile of hashes, or a bundle of that width.

        A partial file is removed once its tile is full; the full one begins with the same bytes. A bundle is
        returned as it is, however wide.
        """
        path = f"tile/{kind}/{tile_path(number)}"
        names = (path,) if width == WIDTH else (f"{path}.p/{width}", path)
        for name in names:
            file = self.find(log_id, name)
            if file is not None:
                return file.read_bytes()
        return None
