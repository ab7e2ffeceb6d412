"""Makes, states and serves the log list (docs/formats/log-list.md).

A list is served only after the ledger has its digest and a receipt of that leaf exists. May never drop a log
that was listed, nor list one that was not admitted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sealwright.clock import Clock
from sealwright.errors import Unavailable
from sealwright.ledger.files import LOG_LIST, LedgerFiles
from sealwright.ledger.model import Admitted, Log, Place, StoredList
from sealwright.ledger.ports import LogListStore
from sealwright.ledger.tiles import write_durably

LIFE = 3_600
"""Seconds that a list is valid; a new one is made when half of it is over."""
PATIENCE = 60.0
"""Seconds to wait for the list's own leaf to be published."""
POLL = 0.1


def entries(admitted: Sequence[Admitted], logs: Sequence[Log], files: LedgerFiles) -> list[dict[str, Any]]:
    """The members `logs` of a list: every admitted incarnation, those with a log first, oldest first."""
    named = {one.log_id: one for one in admitted}
    order = [log.log_id for log in logs if log.log_id in named]
    order += [one.log_id for one in admitted if one.log_id not in set(order)]
    stored = {log.log_id: log for log in logs}
    return [_entry(named[log_id], stored.get(log_id), files) for log_id in order]


def _entry(one: Admitted, log: Log | None, files: LedgerFiles) -> dict[str, Any]:
    size = log.size if log else 0
    return {
        "id": one.log_id,
        "origin": one.origin,
        "vkey": one.vkey,
        "evidence": one.evidence,
        "admission": one.admission,
        "size": size,
        "checkpoint": _checkpoint(log, files) if log and size else "",
        # Only the ledger can say that no leaf follows; a log that it never saw is closed with its admission.
        "closed_at": log.closed_at if log else one.closed_at,
    }


def _checkpoint(log: Log, files: LedgerFiles) -> str:
    """The checkpoint of the stored size: the published one, with its cosignatures, where it is of that
    size.
    """
    published = files.checkpoint(log.log_id)
    if published is not None and published.split("\n")[1:2] == [str(log.size)]:
        return published
    return log.checkpoint


def content_of(listed: Sequence[dict[str, Any]]) -> str:
    """Digest of what a new list is made for at once: which logs there are, and which are closed."""
    facts = [(entry["id"], entry["closed_at"]) for entry in listed]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


class Listing(Protocol):
    """What there is to list."""

    def logs(self) -> list[dict[str, Any]]:
        """The members `logs` of a list as things stand."""
        ...

    def marks(self) -> object:
        """Something that differs whenever a log opened or closed; asked at every look, so it is cheap."""
        ...


class LogLists:
    """Keeps the served list true.

    Args:
        store: where the newest list is kept.
        listing: what is listed, as things stand.
        state: enters a statement in the ledger; returns its place.
        receipt: makes the receipt of a place.
        clock: the current time.
        directory: the ledger's directory; the served file is there.
        authority: the URL of this authority.
        root_version: the version of the root that the admissions rest on.
    """

    def __init__(
        self,
        store: LogListStore,
        listing: Listing,
        state: Callable[[str, str], Awaitable[Place]],
        receipt: Callable[[Place], str],
        clock: Clock,
        directory: Path,
        authority: str,
        root_version: int,
    ) -> None:
        self._quiet: tuple[object, int] | None = None
        self._store = store
        self._listing = listing
        self._state = state
        self._receipt = receipt
        self._clock = clock
        self._file = directory / LOG_LIST
        self._authority = authority
        self._root_version = root_version
        self._written = False

    async def keep(self) -> bool:
        """Make and serve a new list if one is due; whether one was made.

        Raises:
            Unavailable: no signer serves, or its leaf is not published in time; the old list stays.
        """
        marks, now = await asyncio.to_thread(self._listing.marks), int(self._clock.now())
        if self._quiet is not None and self._quiet[0] == marks and now < self._quiet[1]:
            return False
        listed = await asyncio.to_thread(self._listing.logs)
        last = await asyncio.to_thread(self._store.latest)
        if last is not None and not self._due(last, content_of(listed), now):
            if not self._written:  # a crash may have come between the row and the file
                await asyncio.to_thread(self._serve, last.document)
            self._quiet = (marks, _half(last))
            return False
        version = (last.version if last else 0) + 1
        text = msgspec.json.encode(
            {
                "version": version,
                "issued_at": now,
                "expires_at": now + LIFE,
                "authority": self._authority,
                "logs": listed,
            }
        ).decode()
        place = await self._state("log-list", hashlib.sha256(text.encode()).hexdigest())
        receipt = await self._published(place)
        served = {"root_version": self._root_version, "log_list": text, "receipt": receipt}
        stored = StoredList(version, now, now + LIFE, content_of(listed), msgspec.json.encode(served))
        await asyncio.to_thread(self._store.replace, stored)
        await asyncio.to_thread(self._serve, stored.document)
        return True

    def _serve(self, document: bytes) -> None:
        write_durably(self._file, document)
        self._written = True

    @staticmethod
    def _due(last: StoredList, content: str, now: int) -> bool:
        return last.content != content or now >= _half(last)

    async def _published(self, place: Place) -> str:
        waited = 0.0
        while True:
            try:
                return await asyncio.to_thread(self._receipt, place)
            except Unavailable as error:
                if error.code != "not_published" or waited >= PATIENCE:
                    raise
            await asyncio.sleep(POLL)
            waited += POLL


def _half(last: StoredList) -> int:
    """When half of a list's time is over, seconds since 1970."""
    return last.issued_at + (last.expires_at - last.issued_at) // 2
