"""Where the published files of each log are: in the ledger's own directory, or in cold storage.

A file keeps its name when it moves (docs/formats/ledger.md), so whoever asks for it need not know. This
module reads; it may never write or choose between two different contents: what is hot wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sealwright.ledger.folder import Folder
from sealwright.ledger.ports import FileStore
from sealwright.ledger.tiles import WIDTH, tile_path

CHECKPOINT = "checkpoint"
LOG_LIST = "log-list.json"


@dataclass(frozen=True, slots=True)
class LedgerFiles:
    """The directory that is served, and where old segments move to (None: nothing moves)."""

    hot: Path
    cold: FileStore | None = None

    @property
    def tops(self) -> list[FileStore]:
        """Every place, that of new files first."""
        return [Folder(self.hot), *([self.cold] if self.cold is not None else [])]

    def find(self, log_id: str, name: str) -> Path | None:
        """The file of this name, for example `tile/0/x001/234`, if it has not moved."""
        found = self.hot / log_id / name
        return found if found.is_file() else None

    def read(self, log_id: str, name: str) -> bytes | None:
        """What is under this name, wherever it is.

        Raises:
            Unavailable: cold storage does not answer.
        """
        found = self.find(log_id, name)
        if found is not None:
            try:
                return found.read_bytes()
            except FileNotFoundError:
                pass  # it has just moved, or its tile has filled
        return self.cold.read(f"{log_id}/{name}") if self.cold is not None else None

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
            data = self.read(log_id, name)
            if data is not None:
                return data
        return None
