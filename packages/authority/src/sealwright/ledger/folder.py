"""A directory as a `FileStore`: where the published files are, and where old segments go by default.

What is written is whole and on disk under its name, or not there. May never follow a name out of its
directory: names come from the ledger itself, never from a request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sealwright.errors import Unavailable
from sealwright.ledger.tiles import write_durably


@dataclass(frozen=True, slots=True)
class Folder:
    """Files below `path`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        """See the port."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise Unavailable("cold_storage", f"{self.path / name} cannot be read", str(error)) from error

    def write(self, name: str, data: bytes) -> None:
        """See the port."""
        write_durably(self.path / name, data)

    def remove(self, name: str) -> None:
        """See the port."""
        (self.path / name).unlink(missing_ok=True)

    def names(self, folder: str) -> Iterator[str]:
        """See the port."""
        for place, _, found in os.walk(self.path / folder):
            for name in found:
                yield (Path(place) / name).relative_to(self.path).as_posix()

    def folders(self) -> list[str]:
        """See the port."""
        return (
            sorted(found.name for found in self.path.iterdir() if found.is_dir())
            if self.path.is_dir()
            else []
        )
