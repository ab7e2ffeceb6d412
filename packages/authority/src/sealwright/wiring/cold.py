"""Where old segments of the ledger go: the directory, or the object store, that the configuration names."""

from __future__ import annotations

from pathlib import Path

from sealwright.config import Config
from sealwright.ledger.folder import Folder
from sealwright.ledger.ports import FileStore
from sealwright.store.objects import Bucket


def cold_files(config: Config) -> FileStore:
    """Cold storage, for reading and writing.

    Raises:
        Misconfigured: an object store is named, and its library is missing or does not take what was written.
    """
    retention = config.retention
    if not retention.is_elsewhere:
        return Folder(config.cold)
    access = Path(retention.access).expanduser().resolve() if retention.access else None
    return Bucket(retention.cold, access)
