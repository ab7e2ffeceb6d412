from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright.errors import Misconfigured, Refused
from sealwright.keys import rules
from sealwright.keys.model import Key, KeyPolicy, KeyState

POLICY = KeyPolicy(
    realm="enterprise",
    algorithm="ES256",
    use=21_600,
    lead=1_800,
    skew=60,
    max_lifetime=3_600,
    manifest_life=60,
)
START = 1_800_000_000


class World:
    """Carries out what the rules plan, as service and signer do, and remembers what happened."""

    def __init__(self, policy: KeyPolicy = POLICY) -> None:
        self.policy = policy
        self.keys: dict[str, Key] = {}
        self.announced: dict[str, int] = {}
        self.activated: dict[str, int] = {}
        self.cold: set[str] = set()

    def tick(self, now: int, live: tuple[str, ...] = ("log-a",)) -> None:
        for _ in range(2):
            wanted = [key for key in self.keys.values() if key.state is not KeyState.RETIRED]
            for action in rules.plan(wanted, self.policy, live, now):
                self._do(action, now)

    def _do(self, action: rules.Action, now: int) -> None:
        match action:
            case rules.Stage(policy, log_id, use_from, use_until, verify_until):
                kid = f"{log_id}-{len(self.keys)}"
                others = [k for k in self.of(log_id) if k.state in {KeyState.STAGED, KeyState.ACTIVE}]
                if not others:
                    self.cold.add(kid)
                self.keys[kid] = Key(
                    kid, policy.realm, policy.algorithm, log_id, "", 0, {}, use_from, use_until,
                    verify_until, KeyState.STAGED, now,
                )  # fmt: skip
                self.announced[kid] = now
            case rules.Activate(key):
                for other in self.of(key.log_id):
                    if other.state is KeyState.ACTIVE:
                        self.keys[other.kid] = replace(other, state=KeyState.VERIFY_ONLY, changed_at=now)
                self.keys[key.kid] = replace(key, state=KeyState.ACTIVE, changed_at=now)
                self.activated[key.kid] = now
            case rules.Settle(key, state):
                rules.require_forward(self.keys[key.kid].state, state)
                self.keys[key.kid] = replace(self.keys[key.kid], state=state, changed_at=now)

    def of(self, log_id: str) -> list[Key]:
        return [key for key in self.keys.values() if key.log_id == log_id]

    def active(self, log_id: str = "log-a") -> list[Key]:
        return [key for key in self.of(log_id) if key.state is KeyState.ACTIVE]


def test_a_first_start_signs_at_once() -> None:
    world = World()
    world.tick(START)
    assert len(world.active()) == 1


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(1, rules.HANDOVER), min_size=50, max_size=50), speed=st.sampled_from([1, 20])
)
def test_ticks_in_time_leave_one_signing_key_and_publish_it_for_the_whole_lead(
    steps: list[int], speed: int
) -> None:
    policy = replace(POLICY, use=4_000 * speed // 20 + 200, lead=60, max_lifetime=120, skew=5)
    world = World(policy)
    now = START
    for step in steps * 12:
        world.tick(now)
        active = world.active()
        assert len(active) == 1
        assert active[0].use_from <= now < active[0].use_until
        now += step
    for kid, when in world.activated.items():
        assert kid in world.cold or when - world.announced[kid] >= policy.lead


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(1, 40_000), min_size=30, max_size=30),
    deaths=st.sets(st.integers(0, 29), max_size=5),
)
def test_whatever_the_ticks_no_key_outlives_its_windows_or_comes_back(
    steps: list[int], deaths: set[int]
) -> None:
    world, now, generation = World(), START, 0
    seen: dict[str, list[KeyState]] = {}
    for number, step in enumerate(steps):
        generation += number in deaths
        world.tick(now, (f"log-{generation}",))
        for key in world.keys.values():
            if key.state is KeyState.ACTIVE:
                assert key.log_id == f"log-{generation}"
                assert key.use_from <= now < key.use_until
            if key.state is KeyState.VERIFY_ONLY:
                assert now < key.verify_until
            history = seen.setdefault(key.kid, [])
            if not history or history[-1] is not key.state:
                assert key.state not in history
                history.append(key.state)
        now += step


def test_a_key_stays_published_until_its_last_token_has_expired() -> None:
    world = World()
    world.tick(START)
    first = world.active()[0]
    now = START
    while now < first.verify_until - rules.EARLY:
        world.tick(now)
        assert world.keys[first.kid].state in {KeyState.ACTIVE, KeyState.VERIFY_ONLY}
        now += 10
    world.tick(first.verify_until - rules.EARLY)
    assert world.keys[first.kid].state is KeyState.RETIRED


def test_a_dead_signers_keys_never_sign_again_and_stay_published() -> None:
    world = World()
    world.tick(START, ("log-a",))
    first = world.active("log-a")[0]
    world.tick(START + 10, ("log-b",))
    assert world.keys[first.kid].state is KeyState.VERIFY_ONLY
    assert len(world.active("log-b")) == 1


def test_a_dead_signers_key_is_trusted_until_its_last_token_is_over_and_no_longer() -> None:
    world = World()
    world.tick(START)
    key, died = world.active()[0], START + 100
    world.tick(died, ("log-b",))
    last_token = died + POLICY.max_lifetime
    world.tick(last_token + POLICY.skew, ("log-b",))
    dead = world.keys[key.kid]
    assert dead.state is KeyState.VERIFY_ONLY
    over = last_token + POLICY.skew + rules.HANDOVER - rules.EARLY
    assert rules.next_of(dead, list(world.keys.values())) == (KeyState.RETIRED, over)
    assert rules.next_change([dead], POLICY) == over
    world.tick(over, ("log-b",))
    assert world.keys[key.kid].state is KeyState.RETIRED
    assert over < key.use_until


def test_a_shorter_token_life_configured_later_cuts_no_earlier_token_off() -> None:
    world = World()
    world.tick(START)
    key = world.active()[0]
    world.tick(START + 100, ("log-b",))
    world.policy = replace(POLICY, max_lifetime=60)
    world.tick(START + 100 + POLICY.max_lifetime, ("log-b",))
    assert world.keys[key.kid].state is KeyState.VERIFY_ONLY


def test_a_rotation_in_time_leaves_the_announced_window_as_it_is() -> None:
    world = World()
    world.tick(START)
    key = world.active()[0]
    for now in range(START, key.use_until, rules.HANDOVER):
        world.tick(now)
    assert world.keys[key.kid].state is KeyState.VERIFY_ONLY
    assert rules.last_listed(world.keys[key.kid]) == key.verify_until


@pytest.mark.parametrize("before", list(KeyState))
def test_no_state_leads_back_to_itself_or_an_earlier_one(before: KeyState) -> None:
    order = list(KeyState)
    for after in order[: order.index(before) + 1]:
        with pytest.raises(Refused, match="state_goes_back"):
            rules.require_forward(before, after)


def test_a_lead_shorter_than_a_manifests_life_is_refused() -> None:
    with pytest.raises(Misconfigured, match="lead_too_short"):
        rules.require_sound(replace(POLICY, lead=59))


def test_a_use_that_leaves_no_room_for_a_successor_is_refused() -> None:
    with pytest.raises(Misconfigured, match="use_too_short"):
        rules.require_sound(replace(POLICY, use=3_600))


def test_the_next_change_is_the_staging_of_the_successor() -> None:
    world = World()
    world.tick(START)
    active = world.active()[0]
    due = rules.next_change(world.keys.values(), POLICY)
    assert due == active.use_until - rules.HANDOVER - POLICY.lead
    world.tick(due)
    assert [key.state for key in world.keys.values()] == [KeyState.ACTIVE, KeyState.STAGED]


def test_a_key_of_an_algorithm_that_is_configured_no_more_goes_its_way() -> None:
    world = World()
    world.tick(START)
    orphan = world.active()[0]
    moments = [(START + 1, KeyState.VERIFY_ONLY), (orphan.verify_until - rules.EARLY, KeyState.RETIRED)]
    for now, expected in moments:
        (action,) = rules.plan_orphans([orphan], now)
        assert isinstance(action, rules.Settle)
        assert action.state is expected
        orphan = replace(orphan, state=expected)
