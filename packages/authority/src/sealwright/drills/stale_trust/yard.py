"""Where this drill is carried out: the simulated world, moved by hand, with flaws on request."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Collection, Coroutine, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from sealwright.detection.feed import AlarmFeed
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Alarm
from sealwright.drills.forger import claims_of, forged_claims
from sealwright.drills.model import Finding
from sealwright.drills.simulation.run import RECORD
from sealwright.drills.simulation.signer import LocalSigner
from sealwright.drills.simulation.world import World
from sealwright.errors import Unavailable
from sealwright.keys import rules
from sealwright.keys.model import Key, KeyState
from sealwright.ledger.model import Batch
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.service import Ledger
from sealwright.wiring.keywatch import KeyWatch
from sealwright_validate import Expect

T = TypeVar("T")
TTL = 3_600
SEED = 558


class Control(StrEnum):
    """What keeps old trust from lasting; each can be switched off, and then the drill must fail."""

    RETIREMENT = "retirement"
    DORMANT_ALARM = "dormant-alarm"
    ROLLBACK_PROTECTION = "rollback-protection"
    OVERDUE_ALARM = "overdue-alarm"
    ISSUING_STOPS = "issuing-stops"
    SIGNER_WINDOW = "signer-window"
    KEPT_TO_THE_END = "kept-to-the-end"
    LEDGER_WATCH = "ledger-watch"
    CACHE_WATCH = "cache-watch"
    BACKUP_CHECK = "backup-check"
    TOMBSTONES = "tombstones"


class Yard:
    """One authority, one signer, validators, a clock.

    Args:
        directory: removed at the end.
        disabled: controls to switch off.
    """

    def __init__(self, directory: Path, disabled: Collection[str]) -> None:
        self.directory = directory
        self.flaws = frozenset(disabled)
        self.world = World(directory, SEED)
        self._runner = asyncio.Runner()

    def start(self) -> None:
        """Bring the first keys up."""
        self.at(self.now + 1)

    def stop(self) -> None:
        """Nothing runs outside a step."""
        self._runner.close()

    def remove(self) -> None:
        """Delete the state."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def now(self) -> float:
        """Virtual time, seconds since 1970."""
        return self.world.clock.time

    @property
    def signer(self) -> LocalSigner:
        """The signer that serves now."""
        if self.world.signer is None:
            raise Unavailable("drill_stuck", "there is no signer")
        return self.world.signer

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What an operation of the authority answers."""
        return self._runner.run(work)

    def at(self, moment: float, *, rotates: bool = True) -> None:
        """Go to a moment and let authority and validators do what is due; `rotates`: the rotator as well."""
        self.world.clock.time = max(self.now, moment)
        if rotates:
            self.do(self._tick())
        for party in self.world.parties:
            party.live(self.now)

    async def _tick(self) -> None:
        await self.world.restore()
        await self.world.service.tick()

    def until(self, moment: float) -> None:
        """Go to a moment through every change that is planned before it."""
        while (due := self._next()) is not None and due < moment:
            self.at(due)
        self.at(moment)

    def _next(self) -> float | None:
        changes = [
            change
            for policy in self.world.service.policies
            if (change := rules.next_change(self._line(policy.realm), policy)) and change > self.now
        ]
        return min(changes, default=None)

    def _line(self, realm: str) -> list[Key]:
        return [key for key in self.world.store.unretired() if key.realm == realm]

    def active(self, realm: str) -> Key:
        """The realm's active key."""
        for key in self._line(realm):
            if key.state is KeyState.ACTIVE:
                return key
        raise Unavailable("drill_stuck", f"no active key of {realm}")

    def request(self, key: Key) -> list[Any]:
        """What the authority asks the signer for: a token of this key."""
        audience = self.world.config.realms[key.realm].audiences[0]
        return [key.realm, key.kid, "at+jwt", "app", "app", [audience], "", TTL, RECORD, None]

    def token(self, realm: str) -> str:
        """A genuine token."""
        signer, key = self.world.service.signing_key(realm)
        [result] = self.do(_signed(signer, self.request(key)))
        if isinstance(result, dict):
            raise Unavailable("drill_stuck", f"the signer refused: {result['refused']}")
        return str(result[0])

    def forged(self, key: Key, genuine: str) -> str:
        """A token made with the attacker's copy of a key, fresh by the clock."""
        return self.world.copies[key.kid].forge(forged_claims(claims_of(genuine), self.now))

    def verdict(self, token: str, realm: str) -> str:
        """What a validator that is up to date says."""
        expect = Expect(audience=self.world.config.realms[realm].audiences[0], realm=realm)
        return self.world.parties[0].verdict(token, expect)

    def persist(self) -> None:
        """Store the signer's log in the database and publish its files, as the authority does."""
        self.do(self._commit())
        publisher = Publisher(self.world.stores.ledger, self.directory / "ledger")
        publisher.start()
        publisher.stop()

    async def _commit(self) -> None:
        signer = self.signer
        journal, stores = signer.signer.journal, self.world.stores
        ledger = Ledger(stores.ledger, self.world.clock, lambda _log_id: None)
        writer = ledger.open_log(signer.log_id, journal.origin, journal.vkey, 0)
        leaves = [signer.leaves[index] for index in range(writer.size, len(signer.leaves))]
        if leaves:
            await writer.commit(Batch(writer.size, leaves, signer.checkpoint))

    def watched(self) -> dict[str, Alarm]:
        """New alarms of the key watch by code, after two looks in a row."""
        self.persist()
        stores = self.world.stores
        metrics = DetectionMetrics(CollectorRegistry())
        policies, feed = self.world.service.policies, AlarmFeed(stores.alarms)
        watch = KeyWatch(stores, policies, self.world.clock, feed, metrics, sinks=())
        return {stored.alarm.code: stored.alarm for _ in range(2) for stored in watch.look()}


async def _signed(signer: Any, request: list[Any]) -> list[Any]:
    results: list[Any] = await signer.sign([request], [b""], lambda: None)
    return results


@contextlib.contextmanager
def without(yard: Yard, control: Control, module: Any, **replaced: Any) -> Iterator[None]:
    """In a yard with that flaw, a module in which these names mean something else. No option can do this."""
    names = vars(module)
    before = {name: names[name] for name in replaced}
    if control in yard.flaws:
        names.update(replaced)
    try:
        yield
    finally:
        names.update(before)


def judged(step: str, attack: str, control: Control, expected: str, observed: str) -> Finding:
    """A finding that held when what was observed is what was expected."""
    return Finding(step, attack, control, expected, observed, held=observed == expected)


def alarm(
    yard: Yard, step: str, attack: str, control: Control, code: str, more: Collection[str] = ()
) -> Finding:
    """A finding that held when the watch raised this alarm (and each fact in `more` above zero)."""
    raised = yard.watched()
    held = code in raised and all(int(str(raised[code].facts[name])) > 0 for name in more)
    observed = f"alarm {code}" if held else f"alarms: {', '.join(sorted(raised)) or 'none'}"
    return Finding(step, attack, control, f"alarm {code}", observed, held=held)
