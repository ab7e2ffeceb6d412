"""The simulated world: one authority, one signer at a time, validators of several tempers, and what goes
wrong.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

from sealwright.admission.model import Admission, EvidenceLevel
from sealwright.admission.trust import open_root_of_trust
from sealwright.config import Config
from sealwright.config.model import StateConfig
from sealwright.config.signer_policy import signer_policy
from sealwright.drills.forger import StolenKey
from sealwright.drills.simulation.signer import LocalSigner
from sealwright.errors import Unavailable
from sealwright.keys.model import Key, KeyState, Manifest, Tombstone
from sealwright.keys.service import KeyService
from sealwright.wiring.authority import key_policies
from sealwright.wiring.stores import Stores
from sealwright_validate import Expect, Reason, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.trust import FedTrust

START = 1_800_000_000.0
ADMISSION_LIFE = 400 * 86_400


class VirtualClock:
    """Time as the simulation says."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time


class FlakyStore:
    """The real key store, which fails while `down`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.down = False
        self.seen: list[Key] = []
        """Keys that were not retired when they were last read."""

    def _require_up(self) -> None:
        if self.down:
            raise Unavailable("store_down", "the database does not answer")

    def unretired(self) -> list[Key]:
        """See the port."""
        self._require_up()
        self.seen = list(self._store.unretired())
        return self.seen

    def get(self, kid: str) -> Key | None:
        """See the port."""
        self._require_up()
        key: Key | None = self._store.get(kid)
        return key

    def add(self, key: Key) -> None:
        """See the port."""
        self._require_up()
        self._store.add(key)

    def settle(
        self,
        kid: str,
        state: KeyState,
        at: int,
        *,
        reason: str | None = None,
        issued_before: int | None = None,
    ) -> None:
        """See the port."""
        self._require_up()
        self._store.settle(kid, state, at, reason=reason, issued_before=issued_before)

    def tombstones(self, retired_since: int, revoked_since: int) -> list[Tombstone]:
        """See the port."""
        self._require_up()
        stones: list[Tombstone] = self._store.tombstones(retired_since, revoked_since)
        return stones

    def latest_manifest(self) -> Manifest | None:
        """See the port."""
        self._require_up()
        manifest: Manifest | None = self._store.latest_manifest()
        return manifest

    def add_manifest(self, manifest: Manifest) -> None:
        """See the port."""
        self._require_up()
        self._store.add_manifest(manifest)


class RelyingParty:
    """A validator with a temper: how long it takes to hear of a new manifest, in seconds."""

    def __init__(self, name: str, root: Path, delay: float, dice: random.Random) -> None:
        self.name = name
        self.delay = delay
        self.clock = FixedClock(START)
        self.trust: FedTrust = Trust.fed(root=root, clock=self.clock)
        self.validator = Validator(trust=self.trust, cache_size=64)
        self.cut_off_until = 0.0
        self._dice = dice
        self._pending: list[tuple[float, bytes]] = []

    def hear(self, now: float, document: bytes) -> None:
        """A manifest is on its way."""
        self._pending.append((now + self.delay * self._dice.random(), document))

    def live(self, now: float) -> None:
        """Time passes; what has arrived is taken in."""
        self.clock.advance(max(0.0, now - self.clock.wall()))
        self.clock.set_wall(now)
        if now < self.cut_off_until:  # what is sent meanwhile is what it asks for once it is back
            self._pending = [(now, document) for _, document in self._pending[-1:]]
            return
        self._take_in([document for at, document in self._pending if at <= now])
        self._pending = [(at, document) for at, document in self._pending if at > now]

    def refetch(self) -> bool:
        """What the fetching validator does on an unknown key, and at half of a manifest's life: ask again."""
        if self.clock.wall() < self.cut_off_until:
            return False
        found = self._take_in([document for _, document in self._pending])
        self._pending.clear()
        return found

    def _take_in(self, documents: list[bytes]) -> bool:
        if not documents:
            return False
        try:
            self.trust.feed(documents[-1])
        except Refused as refusal:
            if refusal.reason is not Reason.MANIFEST_STALE:
                raise  # our own manifest must never be refused for another reason
            return False
        return True

    def verdict(self, token: str, expect: Expect) -> str:
        """`accepted` or a reason code."""
        for again in (False, True):
            try:
                self.validator.validate(token, expect)
            except Refused as refusal:
                if refusal.reason is Reason.UNKNOWN_KEY and not again and self.refetch():
                    continue
                return str(refusal.reason.value)
            return "accepted"
        return "accepted"


class World:
    """Everything that is simulated. Attributes are read by the run; times are virtual seconds."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - a simulation is repeatable, not secret
        self.clock = VirtualClock()
        for name in ("run", "trust"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config = msgspec.structs.replace(Config(), state=StateConfig(directory=str(directory)))
        self.stores = stores = Stores.open(self.config, self.clock)
        self.admissions = stores.admissions
        self.all_keys = stores.keys.all
        self.store = FlakyStore(stores.keys)
        self.root = open_root_of_trust(directory / "trust", START)
        self.copies: dict[str, StolenKey] = {}
        self.signer: LocalSigner | None = None
        self.ledgers: dict[str, dict[int, bytes]] = {}
        self._attached = False
        self.service = self._new_service()
        root = directory / "trust" / "root.json"
        tempers = {"prompt": 0.0, "slow": 28.0}
        self.parties = [RelyingParty(name, root, delay, self.dice) for name, delay in tempers.items()]
        self.states: dict[str, list[tuple[float, KeyState]]] = {}
        self._last_published: set[str] = set()

    def _new_service(self) -> KeyService:
        service = KeyService(key_policies(self.config), self.store, self.admissions, self.clock, self._leaf)
        service.on_manifest(self._publish)
        return service

    def _leaf(self, log_id: str, index: int) -> bytes | None:
        """A leaf of any incarnation so far: a ledger outlives its signers."""
        leaves = self.ledgers.get(log_id)
        return leaves.get(index) if leaves is not None else None

    def _publish(self, manifest: Manifest) -> None:
        document = {"root_version": 1, "admission": manifest.admission, "manifest": manifest.jws}
        served = msgspec.json.encode(document)
        for party in getattr(self, "parties", ()):
            party.hear(self.clock.now(), served)

    async def kill_signer(self) -> None:
        """The incarnation is gone, and its keys with it."""
        if self.signer is not None:
            self.signer.alive = False
            await self.service.detach(self.signer.log_id)

    async def restore(self) -> None:
        """What supervisor and authority do until it works: replace a dead signer, and connect to it."""
        if self.signer is None or not self.signer.alive:
            newest = self.store.latest_manifest()
            policy = signer_policy(self.config, [self.root.admission.jwk], newest.version if newest else 0)
            if self.signer is not None:
                self.admissions.close(self.signer.log_id, int(self.clock.now()))
            self.signer = LocalSigner(policy, self.clock.now, self.copies)
            self.ledgers[self.signer.log_id] = self.signer.leaves
            self.admissions.add(self._admission(self.signer))
            self._attached = False
        if not self._attached:
            await self.service.attach(self.signer, self.signer.keys)
            self._attached = True

    def _admission(self, signer: LocalSigner) -> Admission:
        now = int(self.clock.now())
        statement = {
            "incarnation": signer.log_id,
            "origin": signer.signer.journal.origin,
            "jwk": signer.signer.identity.jwk,
            "evidence": "none",
            "result": "00" * 32,
            "policy": "00" * 32,
            "admitted_at": now,
            "expires_at": now + ADMISSION_LIFE,
        }
        return Admission(
            log_id=signer.log_id,
            origin=signer.signer.journal.origin,
            jwk=dict(signer.signer.identity.jwk),
            level=EvidenceLevel.NONE,
            statement=self.root.admission.compact(statement),
            result="{}",
            admitted_at=now,
            expires_at=now + ADMISSION_LIFE,
        )

    def kill_authority(self) -> None:
        """The authority process was killed: a new one over the same store, which knows no signer yet."""
        self.service = self._new_service()
        self._attached = False

    def note_states(self) -> None:
        """Keep when each key changed its state, as the service last read it, for the picture."""
        now, keys = self.clock.now(), self.store.seen
        for key in keys:
            seen = self.states.setdefault(key.kid, [])
            if not seen or seen[-1][1] is not key.state:
                seen.append((now, key.state))
        published = {key.kid for key in keys}
        for kid in self._last_published - published:
            self.states[kid].append((now, KeyState.RETIRED))
        self._last_published = published
