"""What happens to keys and when: pure functions of (keys, policy, now).

- A key is staged so early that it is published for the whole lead before it signs.
- Exactly one key is active per realm, algorithm and signer; activating one ends the one before.
- A key that stops signing is verify-only until its last token has expired, plus skew (`verify_until`); then
  retired, in the same tick: the signer lists no key beyond that moment.
- A signer that died leaves keys that can never sign again: active become verify-only, staged are retired.
- What stopped signing before its time (a dead signer, a rotation that people asked for) is retired before
  its time too: `last_listed`.
- Where no key of a live signer is active or staged (first start, or its signer died) the new key may sign at
  once: waiting would be an outage, and validators refetch the manifest on an unknown key id.

These functions may never read a clock, a file or a database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright.errors import Misconfigured, Refused
from sealwright.keys.model import Key, KeyPolicy, KeyState, Tombstone

_ORDER = {
    KeyState.STAGED: 0,
    KeyState.ACTIVE: 1,
    KeyState.VERIFY_ONLY: 2,
    KeyState.RETIRED: 3,
    KeyState.REVOKED: 4,
}

HANDOVER = 30
"""Seconds by which the successor's window overlaps its predecessor's, so that a late tick costs nothing."""

EARLY = 2
"""Seconds before `verify_until` at which a key leaves the manifest: the signer, which reads the clock a
moment later, must never be asked to list a key that is over. The skew in `verify_until` covers it."""

BURIED_KEY_TOLD = 86_400
"""Seconds for which the tombstone of a retired key carries its public half; a revoked one's always does.

By it a validator that starts later tells a misuse of the key from a mere claim. After that size matters."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Make a key in this signer with these windows."""

    policy: KeyPolicy
    log_id: str
    use_from: int
    use_until: int
    verify_until: int


@dataclass(frozen=True, slots=True)
class Activate:
    """Let a staged key sign; the predecessor's private half is destroyed by the signer."""

    key: Key


@dataclass(frozen=True, slots=True)
class Settle:
    """Move a key to a later state that needs nothing from a signer."""

    key: Key
    state: KeyState


Action = Stage | Activate | Settle


def require_sound(policy: KeyPolicy) -> None:
    """Refuse a policy under which a key could sign unseen or die too early.

    Raises:
        Misconfigured: with the rule that is broken and what would satisfy it.
    """
    if policy.lead < policy.manifest_life:
        raise Misconfigured(
            "lead_too_short",
            f"keys.lead ({policy.lead} s) must be at least manifest.life ({policy.manifest_life} s): "
            "a validator may hold a manifest that long before it learns a new key",
        )
    if policy.use < 2 * (policy.lead + HANDOVER):
        raise Misconfigured(
            "use_too_short",
            f"keys.use ({policy.use} s) must be at least twice keys.lead plus {HANDOVER} s "
            f"({2 * (policy.lead + HANDOVER)} s): a successor is staged within its predecessor's window",
        )


def windows(policy: KeyPolicy, use_from: int) -> tuple[int, int, int]:
    """(use_from, use_until, verify_until) of a key that may sign from `use_from`."""
    use_until = use_from + policy.use
    return use_from, use_until, use_until + policy.max_lifetime + policy.skew


def last_listed(key: Key) -> int:
    """Until when a key has to be published (seconds since 1970), by the time at which it stopped signing.

    Never after `verify_until`. The longest token and the skew are those that its announcement was made with,
    whatever is configured now. `HANDOVER` on top: a change is noted up to a tick from when it happened.
    """
    if key.state is not KeyState.VERIFY_ONLY:
        return key.verify_until
    return min(key.verify_until, key.changed_at + HANDOVER + key.verify_until - key.use_until)


def require_forward(before: KeyState, after: KeyState) -> None:
    """Refuse a state change that would bring a key back.

    Raises:
        Refused: `state_goes_back`.
    """
    if _ORDER[after] <= _ORDER[before]:
        raise Refused("state_goes_back", f"a key that is {before} cannot become {after}")


def plan(
    keys: Collection[Key],
    policy: KeyPolicy,
    live: Sequence[str],
    now: int,
    expected: Collection[str] = (),
) -> list[Action]:
    """The actions that are due for one realm and algorithm.

    Args:
        keys: every key of this realm and algorithm that is not retired, of any signer, dead ones included.
        policy: how they live.
        live: log ids of the incarnations that can sign now.
        now: seconds since 1970.
        expected: log ids of incarnations that are alive and were not met yet: their keys are theirs still.
    """
    alive = {*live, *expected}
    actions: list[Action] = [settled for key in keys if (settled := _settle(key, alive, now)) is not None]
    settled_kids = {action.key.kid for action in actions if isinstance(action, Settle)}
    for log_id in live:
        mine = [key for key in keys if key.log_id == log_id and key.kid not in settled_kids]
        actions.extend(_plan_signer(mine, policy, log_id, now))
    return actions


def plan_orphans(keys: Collection[Key], now: int) -> list[Action]:
    """What is due for keys of a realm or algorithm that is configured no more: no signer of now can use
    them.
    """
    settled = (_settle(key, (), now) for key in keys)
    return [action for action in settled if action is not None]


def _settle(key: Key, live: Collection[str], now: int) -> Settle | None:
    if key.state is not KeyState.REVOKED and now >= last_listed(key) - EARLY:
        return Settle(key, KeyState.RETIRED)
    if key.state is KeyState.STAGED and (key.log_id not in live or now >= key.use_until):
        return Settle(key, KeyState.RETIRED)
    if key.state is KeyState.ACTIVE and (key.log_id not in live or now >= key.use_until):
        return Settle(key, KeyState.VERIFY_ONLY)
    return None


def _plan_signer(mine: Sequence[Key], policy: KeyPolicy, log_id: str, now: int) -> list[Action]:
    active = [key for key in mine if key.state is KeyState.ACTIVE]
    staged = sorted((key for key in mine if key.state is KeyState.STAGED), key=lambda key: key.use_from)
    if staged and now >= staged[0].use_from:
        return [Activate(staged[0])]
    if not active and not staged:
        return [Stage(policy, log_id, *windows(policy, now))]
    if active and not staged:
        handover = active[0].use_until - HANDOVER
        if now + policy.lead >= handover:
            return [Stage(policy, log_id, *windows(policy, max(handover, now + policy.lead)))]
    return []


def plan_rotation(keys: Collection[Key], policy: KeyPolicy, live: Sequence[str], now: int) -> list[Stage]:
    """Successors that people ask for before their time: published for the whole lead like any other.

    A signer whose active key has a successor already, or none that it could replace, gets none.
    """
    staged: list[Stage] = []
    for log_id in live:
        states = {key.state for key in keys if key.log_id == log_id}
        if KeyState.ACTIVE in states and KeyState.STAGED not in states:
            staged.append(Stage(policy, log_id, *windows(policy, now + policy.lead + 1)))
    return staged


def next_change(keys: Collection[Key], policy: KeyPolicy) -> int | None:
    """When the next planned change is due (seconds since 1970), or None without keys."""
    moments = [key.use_from for key in keys if key.state is KeyState.STAGED]
    has_staged = bool(moments)
    for key in keys:
        if key.state is KeyState.ACTIVE:
            moments.append(key.use_until if has_staged else key.use_until - HANDOVER - policy.lead)
        elif key.state is KeyState.VERIFY_ONLY:
            moments.append(last_listed(key) - EARLY)
    return min(moments, default=None)


def next_of(key: Key, keys: Collection[Key]) -> tuple[KeyState, int] | None:
    """What becomes of one key next, and when (seconds since 1970); None for one that stays as it is.

    Args:
        key: the key.
        keys: all keys that are not retired.
    """
    if key.state is KeyState.STAGED:
        return KeyState.ACTIVE, key.use_from
    if key.state is KeyState.ACTIVE:
        line = (key.realm, key.algorithm, key.log_id)
        successors = [
            k.use_from
            for k in keys
            if k.state is KeyState.STAGED and (k.realm, k.algorithm, k.log_id) == line
        ]
        return KeyState.VERIFY_ONLY, min(successors, default=key.use_until)
    if key.state is KeyState.VERIFY_ONLY:
        return KeyState.RETIRED, last_listed(key) - EARLY
    return None


def listed_revocation(key: Key) -> dict[str, Any]:
    """A revocation as the signer is asked to list it."""
    return {
        "kid": key.kid,
        "at": key.changed_at,
        "reason": key.revoked_reason,
        "issued_before": key.issued_before,
    }


def listed_tombstone(stone: Tombstone, now: int) -> dict[str, Any]:
    """A tombstone as the signer is asked to list it; `jwk` is null where the public half is not told."""
    told = stone.reason == KeyState.REVOKED or now < stone.at + BURIED_KEY_TOLD
    return {"kid": stone.kid, "at": stone.at, "reason": stone.reason, "jwk": stone.jwk if told else None}
