"""Publishes logs as tlog-tiles files behind the commits, at most once per interval and log.

Reads only what is durable; runs in a thread of its own so that no token waits for it. It may never publish a
checkpoint whose tiles are not on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from operator import attrgetter
from pathlib import Path

from sealwright.errors import Refused
from sealwright.ledger.model import Log
from sealwright.ledger.note import open_checkpoint, parse_vkey
from sealwright.ledger.ports import LedgerStore
from sealwright.ledger.tiles import WIDTH, TileWriter

log = logging.getLogger(__name__)
CHUNK = 16 * WIDTH
AGAIN = 5.0
"""Seconds until a log is looked at again that has not grown, but may get more cosignatures."""


class Publisher:
    """Keeps `directory/<log id>/` up to date with the store."""

    def __init__(
        self,
        store: LedgerStore,
        directory: Path,
        interval: float = 1.0,
        afterwards: Callable[[], object] = lambda: None,
        cosign: Callable[[Log], str] = attrgetter("checkpoint"),
        again: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`cosign` gives the note to publish: the log's own, with what witnesses add. `again` names logs that
        may get more of that.
        """
        self._store = store
        self._directory = directory
        self._interval = interval
        self._afterwards = afterwards
        self._cosign = cosign
        self._again = again
        self._published: dict[str, str] = {}
        self._writers: dict[str, TileWriter] = {}
        self._due: set[str] = set()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Publish every log that is behind, then follow the commits."""
        for stored in self._store.logs():
            self.committed(stored.log_id)
        self._thread.start()

    def committed(self, log_id: str) -> None:
        """A log has grown. Returns at once; may be called from any thread."""
        self._due.add(log_id)
        self._wake.set()

    def stop(self) -> None:
        """Publish what is due and end the thread."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(AGAIN)
            self._wake.clear()
            self._due.update(self._again())
            if not self._due:
                continue
            self._publish_due()
            self._afterwards()
            self._stop.wait(self._interval)
        self._publish_due()

    def _publish_due(self) -> None:
        # What grows meanwhile is due again an interval later: under load publishing would never pause.
        for log_id in list(self._due):
            self._due.discard(log_id)
            try:
                self.publish(log_id)
            except (OSError, Refused) as error:
                # Issuing goes on: the leaves are durable. The next commit, or the next start, tries again.
                self._writers.pop(log_id, None)
                facts = {"log_id": log_id, "error": str(error)}
                log.exception("ledger files are behind", extra={"facts": facts})

    def publish(self, log_id: str) -> None:
        """Bring one log's files up to its durable size."""
        stored = self._store.log(log_id)
        if stored is None or stored.size == 0:
            return
        writer = self._writers.get(log_id)
        if writer is None:
            writer = self._writers[log_id] = self._resume(log_id)
        open_checkpoint(stored.checkpoint, parse_vkey(stored.vkey))
        self._feed(writer, log_id, stored.size, write=True)
        writer.cover()
        note = self._cosign(stored)
        if self._published.get(log_id) != note:
            writer.publish(note)
            self._published[log_id] = note

    def _feed(self, writer: TileWriter, log_id: str, size: int, *, write: bool) -> None:
        while writer.size < size:
            end = min(size, writer.size + CHUNK)
            leaves = self._store.leaves(log_id, writer.size, end)
            if len(leaves) != end - writer.size:
                raise Refused(
                    "leaf_missing", f"a leaf from {writer.size} of log {log_id} on is not in the store"
                )
            writer.extend(leaves, write=write)

    def _resume(self, log_id: str) -> TileWriter:
        """A writer that has taken everything that is published already."""
        directory = self._directory / log_id
        writer = TileWriter(directory)
        published = directory / "checkpoint"
        size = int(published.read_text().split("\n")[1]) if published.is_file() else 0
        full = size - size % WIDTH
        self._feed(writer, log_id, full, write=False)
        return writer
