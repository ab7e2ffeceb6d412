"""Two honest weeks of two signers, in virtual time: what the lying host has to work with.

Real signers (in this process), the real keys room, ledger, publisher and log list; only the clock is ours.
Rotations, restarts of both signers, tokens all along.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sealwright.admission.model import Admission, EvidenceLevel
from sealwright.admission.trust import RootOfTrust, open_root_of_trust
from sealwright.config import Config, signer_policy
from sealwright.config.model import KeyConfig, ManifestConfig, StateConfig
from sealwright.drills.forger import StolenKey
from sealwright.drills.simulation.signer import LocalSigner
from sealwright.drills.simulation.world import START, VirtualClock
from sealwright.files import make_private_directory
from sealwright.keys.model import Manifest
from sealwright.keys.rules import HANDOVER
from sealwright.keys.service import KeyService
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.log_list import LogLists
from sealwright.ledger.model import Batch, Place
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.service import Ledger, LogWriter
from sealwright.wiring.authority import key_policies
from sealwright.wiring.log_list import StoredListing
from sealwright.wiring.stores import Stores

HOUR, DAY = 3_600.0, 86_400.0
DAYS = 14
EARLY_DAY = 10
STEP = 4 * HOUR
ADMISSION_LIFE = 32 * 86_400
TTL = 3_600


class BookSigner:
    """A signer whose every answer returns after its batch is in the ledger, as the real link does."""

    def __init__(self, local: LocalSigner, writer: LogWriter) -> None:
        self.local = local
        self._writer = writer

    @property
    def log_id(self) -> str:
        """Its log."""
        return self.local.log_id

    async def _committed(self, records: Sequence[bytes] = ()) -> None:
        journal, size = self.local.signer.journal, self._writer.size
        leaves = [self.local.leaves[index] for index in range(size, journal.size)]
        if leaves:
            kept = [None] * (len(leaves) - len(records)) + [*records]
            await self._writer.commit(Batch(size, leaves, journal.checkpoint), kept)

    async def make_key(
        self, realm: str, algorithm: str, use_from: int, use_until: int, verify_until: int
    ) -> tuple[str, int]:
        """See the port."""
        made = await self.local.make_key(realm, algorithm, use_from, use_until, verify_until)
        await self._committed()
        return made

    async def activate(self, kid: str) -> None:
        """See the port."""
        await self.local.activate(kid)
        await self._committed()

    async def destroy(self, kid: str, reason: str) -> None:
        """See the port."""
        await self.local.destroy(kid, reason)
        await self._committed()

    async def manifest(self, fields: Mapping[str, Any]) -> str:
        """See the port."""
        signed = await self.local.manifest(fields)
        await self._committed()
        return signed

    async def statement(self, kind: str, digest: str) -> int:
        """See the port."""
        index = await self.local.statement(kind, digest)
        await self._committed()
        return index

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        """See the port."""
        results = await self.local.sign(requests, records, answered)
        signed = [one for one, result in zip(records, results, strict=True) if not isinstance(result, dict)]
        await self._committed(signed)
        return results


@dataclass(slots=True)
class Book:
    """What two honest weeks leave behind. `state` is the state directory."""

    state: Path
    config: Config
    clock: VirtualClock
    root: RootOfTrust
    stores: Stores
    files: LedgerFiles
    tokens: list[str] = field(default_factory=list)
    signers: dict[int, BookSigner] = field(default_factory=dict)
    served: bytes = b""
    """The manifest document in force."""

    @classmethod
    def open(cls, state: Path) -> Book:
        """A new authority in an empty directory."""
        for name in ("run", "trust", "ledger"):
            make_private_directory(state / name)
        config = msgspec.structs.replace(
            Config(),
            state=StateConfig(str(state)),
            keys=KeyConfig(use=int(DAY), lead=1_800),
            manifest=ManifestConfig(life=600),
        )
        clock = VirtualClock()
        root = open_root_of_trust(state / "trust", START)
        return cls(state, config, clock, root, Stores.open(config, clock), LedgerFiles(state / "ledger"))

    async def live(self, restarts: Mapping[int, int], early: Callable[[Book], None]) -> None:
        """Let the two weeks pass. `restarts` names, by the day, which signer is restarted."""
        ledger = Ledger(self.stores.ledger, self.clock, lambda _log_id: None)
        service = self.service()
        for slot in (0, 1):
            await self.start(slot, ledger, service)
        end, day = START + DAYS * DAY, 0
        while self.clock.time < end:
            await service.tick()
            await self._issue(service)
            if self.clock.time >= START + day * DAY:
                if day in restarts:
                    await self.start(restarts[day], ledger, service)
                await self.publish(service)
                if day == EARLY_DAY:
                    early(self)
                day += 1
            self.clock.time = min(self._next_moment(), end)
        await service.tick()
        await self._issue(service)
        await self.publish(service)

    def _next_moment(self) -> float:
        """When something is due next, for any key of any signer, or when it is time for more tokens."""
        lead, moments = self.config.keys.lead, [self.clock.time + STEP]
        for key in self.stores.keys.unretired():
            staging = key.use_until - HANDOVER - lead
            moments += [staging, key.use_from, key.use_until, key.verify_until]
        return min(moment for moment in moments if moment > self.clock.time)

    async def start(self, slot: int, ledger: Ledger, service: KeyService) -> None:
        """A new incarnation in this slot; the one before it is dead."""
        before = self.signers.get(slot)
        if before is not None:
            before.local.alive = False
            await service.detach(before.log_id)
            ledger.close_log(before.log_id)
            self.stores.admissions.close(before.log_id, int(self.clock.now()))
        newest = self.stores.keys.latest_manifest()
        policy = signer_policy(self.config, [self.root.admission.jwk], newest.version if newest else 0)
        copies: dict[str, StolenKey] = {}
        local = LocalSigner(policy, self.clock.now, copies)
        journal = local.signer.journal
        self.stores.admissions.add(self._admission(local))
        writer = ledger.open_log(local.log_id, journal.origin, journal.vkey, 0)
        signer = self.signers[slot] = BookSigner(local, writer)
        await service.attach(signer, local.keys)

    def service(self) -> KeyService:
        """The keys room of an authority that has just started."""
        stores = self.stores
        policies, leaf = key_policies(self.config), stores.ledger.leaf
        service = KeyService(policies, stores.keys, stores.admissions, self.clock, leaf)
        service.on_manifest(self._publish_manifest)
        return service

    def _publish_manifest(self, manifest: Manifest) -> None:
        document = {"root_version": 1, "admission": manifest.admission, "manifest": manifest.jws}
        self.served = msgspec.json.encode(document)

    def _admission(self, signer: LocalSigner) -> Admission:
        now, journal = int(self.clock.now()), signer.signer.journal
        statement = {
            "incarnation": signer.log_id,
            "origin": journal.origin,
            "jwk": signer.signer.identity.jwk,
            "evidence": "none",
            "result": "00" * 32,
            "policy": "00" * 32,
            "admitted_at": now,
            "expires_at": now + ADMISSION_LIFE,
        }
        compact = self.root.admission.compact(statement)
        jwk, until = dict(signer.signer.identity.jwk), now + ADMISSION_LIFE
        return Admission(signer.log_id, journal.origin, jwk, EvidenceLevel.NONE, compact, "{}", now, until)

    async def _issue(self, service: KeyService) -> None:
        """A token of each realm from each signer in turn."""
        for realm, settings in sorted(self.config.realms.items()) * len(self.signers):
            signer, key = service.signing_key(realm)
            subject = {"client": f"{realm}-app", "at": int(self.clock.now())}
            record = os.urandom(16) + json.dumps(subject).encode()
            audience, digest = settings.audiences[0], hashlib.sha256(record).hexdigest()
            request = [realm, key.kid, "at+jwt", "app", "app", [audience], "", TTL, digest, None]
            for result in await signer.sign([request], [record], lambda: None):
                if isinstance(result, tuple):
                    self.tokens.append(result[0])

    async def publish(self, service: KeyService) -> None:
        """Publish every log and, where one is due, a log list."""
        publisher = Publisher(self.stores.ledger, self.files.hot)
        receipts = Receipts(self.stores.ledger, self.files, self.stores.digests)

        def publish_all() -> None:
            for log in self.stores.ledger.logs():
                publisher.publish(log.log_id)

        def receipt(place: Place) -> str:
            publish_all()
            return receipts.at(place)

        publish_all()
        listed = StoredListing(self.stores.admissions, self.stores.ledger, self.files)
        url, top = self.config.server.url, self.files.hot
        lists = LogLists(self.stores.lists, listed, service.statement, receipt, self.clock, top, url, 1)
        await lists.keep()


def two_weeks(state: Path, early: Callable[[Book], None]) -> Book:
    """The book after two weeks. `early` is shown it on the day `EARLY_DAY`."""
    book = Book.open(state)
    asyncio.run(book.live({4: 0, 12: 1}, early))
    return book
