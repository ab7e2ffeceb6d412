"""Keeps the authority connected to the signers that the supervisor names in `run/signers.json`.

Connects to admitted incarnations only, attaches them to the keys room, detaches what went away, and closes a
log once its incarnation is named no more. It may never start, stop or appraise a signer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sealwright.admin.model import Details
from sealwright.admin.service import Auditor
from sealwright.errors import Refused, SealwrightError, Unavailable
from sealwright.issuer.service import Issuer
from sealwright.keys.link import SignerLink
from sealwright.keys.service import KeyService
from sealwright.ledger.ports import LedgerStore
from sealwright.ledger.service import Ledger, LogWriter
from sealwright.wiring.vouched import UNRECORDED
from sealwright_signer.client import Connection, Hello, SignerGone

log = logging.getLogger(__name__)
POLL = 0.1
"""Seconds between looks at `signers.json`; a new incarnation serves this much later at the most."""
RETRY = 0.5


class SignerEntry(msgspec.Struct, frozen=True):
    """One admitted, running incarnation."""

    socket: str
    log_id: str


class SignerList(msgspec.Struct, frozen=True):
    """`run/signers.json`."""

    signers: tuple[SignerEntry, ...] = ()


@dataclass(slots=True)
class _Session:
    task: asyncio.Task[None]
    link: SignerLink | None = None


class SignerManager:
    """Follows the list of signers."""

    def __init__(
        self,
        run: Path,
        ledger: Ledger,
        store: LedgerStore,
        keys: KeyService,
        issuer: Issuer,
        auditor: Auditor,
    ) -> None:
        self._auditor = auditor
        self._file = run / "signers.json"
        self._ledger = ledger
        self._store = store
        self._keys = keys
        self._issuer = issuer
        self._sessions: dict[str, _Session] = {}
        self._settled: dict[str, SignerEntry] | None = None  # the list whose unnamed logs are closed

    @property
    def links(self) -> list[SignerLink]:
        """Signers that are connected now."""
        return [session.link for session in self._sessions.values() if session.link is not None]

    async def run(self) -> None:
        """Follow the list until cancelled."""
        try:
            while True:
                named = self._named()
                if named is not None:
                    await self._follow(named)
                await asyncio.sleep(POLL)
        finally:
            for session in self._sessions.values():
                session.task.cancel()
            await asyncio.gather(*(s.task for s in self._sessions.values()), return_exceptions=True)

    def _named(self) -> dict[str, SignerEntry] | None:
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return None
        entries = msgspec.json.decode(content, type=SignerList).signers
        return {entry.log_id: entry for entry in entries}

    async def _follow(self, named: dict[str, SignerEntry]) -> None:
        for log_id in set(self._sessions) - set(named):
            session = self._sessions.pop(log_id)
            session.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await session.task
        for log_id, entry in named.items():
            if log_id not in self._sessions:
                task = asyncio.get_running_loop().create_task(self._keep(entry), name=f"signer {log_id}")
                self._sessions[log_id] = _Session(task)
        if named != self._settled:  # not at every look: it asks the database
            self._close_logs(named)
            self._settled = named

    def _close_logs(self, named: dict[str, SignerEntry]) -> None:
        for stored in self._store.logs():
            if stored.closed_at is None and stored.log_id not in named:
                self._ledger.close_log(stored.log_id)
                log.warning("log closed", extra={"facts": {"log_id": stored.log_id, "size": stored.size}})

    async def _keep(self, entry: SignerEntry) -> None:
        """Stay connected to one incarnation."""
        while True:
            try:
                await self._serve(entry)
            except (SignerGone, SealwrightError) as error:
                facts = {"log_id": entry.log_id, "error": str(error)}
                log.warning("signer not usable now", extra={"facts": facts})
            await asyncio.sleep(RETRY)

    async def _serve(self, entry: SignerEntry) -> None:
        path = self._file.parent.parent / entry.socket
        connection = await Connection.open(path, (msgspec.json.decode, msgspec.json.encode))
        session = self._sessions[entry.log_id]

        def open_log(hello: Hello) -> LogWriter:
            if hello.log_id != entry.log_id:
                raise Refused(
                    "another_incarnation", "the socket belongs to another incarnation", hello.log_id
                )
            return self._ledger.open_log(hello.log_id, hello.origin, hello.vkey, hello.acked)

        try:
            link = await SignerLink.open(connection, open_log, self._unrecorded)
            session.link = link
            announced = [(key["announcement"], key["state"], key["ledger_index"]) for key in link.hello.keys]
            await self._keys.attach(link, announced)
            log.info("signer attached", extra={"facts": {"log_id": entry.log_id}})
            await link.closed()
        finally:
            session.link = None
            self._issuer.forget_signer(entry.log_id)
            await self._keys.detach(entry.log_id)
            await connection.close()
        raise Unavailable("signer_gone", "the connection to the signer ended")

    async def _unrecorded(self, log_id: str, first: int, end: int) -> None:
        """Say why these leaves have no private records. It is durable before they are, and stated with what
        is stated next: no signer is there yet.
        """
        facts: Details = {"first": first, "end": end}
        await asyncio.to_thread(self._auditor.write, "system:authority", UNRECORDED, log_id, facts)
