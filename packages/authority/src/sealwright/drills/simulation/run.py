"""Runs the simulated year: load, kills, clock jumps, outages, and attacks with copies of every key."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sealwright.drills.forger import claims_of, forged_claims
from sealwright.drills.simulation.world import START, RelyingParty, World
from sealwright.errors import Refused, Unavailable
from sealwright.keys.model import Key, KeyState
from sealwright.keys.rules import next_change
from sealwright_validate import Expect

DAY = 86_400.0
STEP = 18_000.0
"""Virtual seconds between two looks, where nothing is due before."""
MOMENT = 28.0
"""Virtual seconds in which a slow validator lives on its last manifest (it lives for 60, and is renewed at
30).
"""
APART = 61.0
"""Virtual seconds between two looks at the least, so that each begins with a new manifest."""
KEPT_TOKENS = 4
"""Of the last two looks, which lie further apart than a token lives: good ones and expired ones."""
FAULTS = {
    "nothing": 950,
    "signer killed": 10,
    "authority killed": 10,
    "store outage": 5,
    "clock back": 5,
    "clock forward": 5,
    "validator cut off": 15,
}
"""Weights per step."""
RECOVERY = 60.0
"""Virtual seconds after an outage, or after a clock that ran backwards has caught up, in which a manifest
may still be missing. At all other times a stale validator is a failure."""
TTL = 3_600
RECORD = "00" * 32
Progress = Callable[[float], None]


@dataclass(slots=True)
class Outcome:
    """What happened. `failures` are good tokens that a fresh validator refused; both lists say which and
    why.
    """

    days: float
    rotations: int = 0
    tokens: int = 0
    validations: int = 0
    attacks: int = 0
    failures: int = 0
    wrongly_accepted: int = 0
    unavailable: int = 0
    oldest_trusted_hours: float = 0.0
    oldest_allowed_hours: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    states: dict[str, list[tuple[float, KeyState]]] = field(default_factory=dict)
    realms: dict[str, str] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether no rule was broken."""
        aged = self.oldest_trusted_hours > self.oldest_allowed_hours
        return self.failures == 0 and self.wrongly_accepted == 0 and self.rotations > 0 and not aged


def simulate(days: float, seed: int, progress: Progress | None = None) -> Outcome:
    """Simulate `days` with faults drawn from `seed`. `progress` gets the share that is done."""
    # The state is thrown away: where memory can hold it, no disk is waited for.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a directory of our own in it
    with tempfile.TemporaryDirectory(prefix="sealwright-simulation-", dir=memory) as directory:
        return asyncio.run(_Run(World(Path(directory), seed), days, progress).run())


class _Run:
    def __init__(self, world: World, days: float, progress: Progress | None) -> None:
        self._world = world
        self._end = START + days * DAY
        self._progress = progress
        self._outcome = Outcome(days)
        longest = max(p.use + p.max_lifetime + p.skew for p in world.service.policies)
        self._outcome.oldest_allowed_hours = longest / 3_600
        self._issued: deque[tuple[str, str, int]] = deque(maxlen=KEPT_TOKENS)
        self._expects = {
            realm: Expect(audience=scope.audiences[0], realm=realm)
            for realm, scope in world.config.realms.items()
        }
        self._outage_until = 0.0
        self._degraded_until = 0.0

    async def run(self) -> Outcome:
        world, outcome = self._world, self._outcome
        await world.restore()
        steps = 0
        while world.clock.time < self._end:
            await self._fault()
            await self._tick()
            for party in world.parties:
                party.refetch()
            # A little later the authority may have moved on, and the slower validators do not know it yet.
            world.clock.time += world.dice.uniform(1, MOMENT)
            await self._tick()
            self._validate_all()
            await self._load()
            self._attack()
            self._age()
            world.clock.time = self._next_moment()
            steps += 1
            if self._progress and steps % 50 == 0:
                self._progress((world.clock.time - START) / (self._end - START))
        activated = [seen for seen in world.states.values() if any(s is KeyState.ACTIVE for _, s in seen)]
        outcome.rotations = len(activated) - len(self._expects)
        outcome.states = world.states
        outcome.realms = {key.kid: key.realm for key in world.all_keys()}
        return outcome

    async def _tick(self) -> None:
        world = self._world
        world.store.down = world.clock.time < self._outage_until
        try:
            await world.restore()
            await world.service.tick()
            world.note_states()
        except (Unavailable, Refused) as error:
            self._outcome.events[f"tick: {error.code}"] += 1
        for party in world.parties:
            party.live(world.clock.time)

    def _next_moment(self) -> float:
        """The next planned change, or the next look; sometimes just before or after it."""
        world = self._world
        now = world.clock.time
        moments = [now + STEP * (0.5 + world.dice.random())]
        if not world.store.down:
            keys = world.store.seen
            for policy in world.service.policies:
                mine = [key for key in keys if (key.realm, key.algorithm) == (policy.realm, policy.algorithm)]
                due = next_change(mine, policy)
                if due is not None and due > now:
                    moments.append(due + world.dice.choice([0, 0, 1, 5, 20]))
        return max(now + APART, min(moments))

    async def _fault(self) -> None:
        """One step in twenty something goes wrong."""
        dice = self._world.dice
        name = dice.choices(list(FAULTS), list(FAULTS.values()))[0]
        if name == "nothing":
            return
        self._outcome.events[name] += 1
        try:
            await self._strike(name)
        except (Unavailable, Refused) as error:
            self._outcome.events[f"{name}: {error.code}"] += 1

    async def _strike(self, name: str) -> None:
        world, dice = self._world, self._world.dice
        match name:
            case "signer killed":
                await world.kill_signer()
            case "authority killed":
                world.kill_authority()
            case "store outage":
                self._outage_until = world.clock.time + dice.uniform(60, 3_600)
                self._degraded_until = max(self._degraded_until, self._outage_until + RECOVERY)
            case "clock back":
                back = dice.uniform(1, 120)
                world.clock.time -= back
                self._degraded_until = max(self._degraded_until, world.clock.time + back + RECOVERY)
            case "clock forward":
                world.clock.time += dice.uniform(60, 7_200)
            case "validator cut off":
                dice.choice(world.parties).cut_off_until = world.clock.time + dice.uniform(60, 12 * 3_600)

    async def _load(self) -> None:
        world = self._world
        for realm, expect in self._expects.items():
            try:
                signer, key = world.service.signing_key(realm)
                request: list[Any] = [
                    realm, key.kid, "at+jwt", "app", "app", sorted(expect.audiences), "", TTL, RECORD, None,
                ]  # fmt: skip
                result = (await signer.sign([request], [b""], lambda: None))[0]
            except (Unavailable, Refused):
                self._outcome.unavailable += 1
                continue
            if isinstance(result, dict):
                self._outcome.unavailable += 1
                continue
            token = result[0]
            self._outcome.tokens += 1
            self._issued.append((realm, token, claims_of(token)["exp"]))
            for party in world.parties:
                self._check(party, realm, token, claims_of(token)["exp"])

    def _validate_all(self) -> None:
        for realm, token, expires_at in self._issued:
            for party in self._world.parties:
                self._check(party, realm, token, expires_at)

    def _check(self, party: RelyingParty, realm: str, token: str, expires_at: int) -> None:
        """A good token must be accepted by a validator that is fresh; an expired one by none."""
        now = self._world.clock.time
        issued_at = claims_of(token)["iat"]
        verdict = party.verdict(token, self._expects[realm])
        self._outcome.validations += 1
        if verdict == "accepted":
            if now >= expires_at + 60:
                self._blame("wrongly_accepted", party, "expired token", verdict)
            return
        stale = verdict in {"manifest_stale", "keys_unavailable"}
        excused = stale and now < max(party.cut_off_until, self._degraded_until)
        early = now < issued_at - 5  # our own clock was set back behind the token's time
        if now < expires_at and not excused and not early:
            self._blame("failures", party, "good token", verdict)

    def _attack(self) -> None:
        """Present tokens made with copies of keys outside their time: dead ones, and ones not yet signing."""
        if not self._issued or self._world.store.down:
            return
        now = self._world.clock.time
        for key in self._world.store.seen:
            outside = now > key.use_until + 60 or now < key.use_from - 60
            if key.kid in self._world.copies and outside:
                self._forge(key, now)

    def _forge(self, key: Key, now: float) -> None:
        realm, genuine, _ = self._issued[-1]
        realms = self._world.config.realms
        change: dict[str, Any] = {
            "iss": self._world.config.issuer(key.realm),
            "aud": realms[key.realm].audiences[0],
        }
        claims = forged_claims(claims_of(genuine), now, **change)
        claims["jti"] = f"{key.log_id}.{claims['jti'].split('.')[1]}.{claims['jti'].split('.')[2]}"
        token = self._world.copies[key.kid].forge(claims)
        for party in self._world.parties:
            self._outcome.attacks += 1
            verdict = party.verdict(token, self._expects[key.realm])
            if verdict == "accepted":
                self._blame(
                    "wrongly_accepted", party, f"{key.state} key outside its window ({realm})", verdict
                )

    def _age(self) -> None:
        """The age of the oldest key that anybody who is up to date may still trust, whatever a store says."""
        now = self._world.clock.time
        ages = [
            now - key.use_from for key in self._world.store.seen if key.published and now < key.verify_until
        ]
        oldest = max(ages, default=0.0) / 3_600
        self._outcome.oldest_trusted_hours = max(self._outcome.oldest_trusted_hours, oldest)

    def _blame(self, what: str, party: RelyingParty, token: str, verdict: str) -> None:
        setattr(self._outcome, what, getattr(self._outcome, what) + 1)
        hours = (self._world.clock.time - START) / 3_600
        if len(self._outcome.details) < 20:  # noqa: PLR2004 - enough to see what is wrong
            self._outcome.details.append(f"{hours:.2f} h, {party.name}: {token}: {verdict}")
