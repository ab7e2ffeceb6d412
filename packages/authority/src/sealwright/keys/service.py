"""Drives keys through their lives and publishes the manifest.

Order of every change: ledger entry durable, then the key's row, then the next manifest; a crash between two
of them is mended by `attach` and the next `tick`. This service may never see a private key, and it cannot
list a key that no admitted signer announced: the signer that signs the manifest refuses.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sealwright.clock import Clock
from sealwright.errors import Refused, Unavailable
from sealwright.keys import rules
from sealwright.keys.documents import document_claims
from sealwright.keys.model import Key, KeyPolicy, KeyState, Manifest
from sealwright.keys.ports import AdmissionPort, KeyStore, SignerPort
from sealwright.keys.publication import Publication
from sealwright.ledger.model import Place

MAX_REASON = 200
"""Characters, as the signer has it."""

log = logging.getLogger(__name__)


class KeyService:
    """Keys of all realms on all live signers."""

    def __init__(
        self,
        policies: Sequence[KeyPolicy],
        store: KeyStore,
        admissions: AdmissionPort,
        clock: Clock,
        announced: Callable[[str, int], bytes | None],
        strict_realms: Sequence[str] = (),
    ) -> None:
        """`announced` reads a leaf of the ledger: a key whose announcement is not there is not published."""
        for policy in policies:
            rules.require_sound(policy)
        self._policies = tuple(policies)
        self._store = store
        self._clock = clock
        life = policies[0].manifest_life
        self._publication = Publication(store, admissions, clock, announced, life, strict_realms)
        self._signers: dict[str, SignerPort] = {}
        self._met: set[str] = set()
        self._expected: set[str] = set()
        self._admissions = admissions
        self._active: dict[str, list[Key]] = {}
        self._turn = 0
        self._known: list[Key] | None = None
        self._lock = asyncio.Lock()

    @property
    def policies(self) -> Sequence[KeyPolicy]:
        """The policy of each realm and algorithm."""
        return self._policies

    def on_manifest(self, listener: Callable[[Manifest], None]) -> None:
        """Call `listener` with the manifest in force, if there is one, and with every later one."""
        self._publication.subscribe(listener)

    def manifest(self) -> Manifest:
        """The manifest in force.

        Raises:
            Unavailable: `no_manifest` before the first one was signed or after the last one expired.
        """
        return self._publication.in_force()

    def signing_key(self, realm: str) -> tuple[SignerPort, Key]:
        """A signer and its active key for `realm`, turn by turn where several signers have one.

        Raises:
            Unavailable: `no_active_key`.
        """
        keys = self._active.get(realm)
        if keys:
            self._turn += 1
            for offset in range(len(keys)):
                key = keys[(self._turn + offset) % len(keys)]
                signer = self._signers.get(key.log_id)
                if signer is not None and key.use_from <= self._clock.now() < key.use_until:
                    return signer, key
        raise Unavailable("no_active_key", "this realm has no key that may sign now")

    def _keys(self) -> list[Key]:
        """Keys that are not retired, read once per tick; what we write since is followed or read again."""
        if self._known is None:
            self._known = self._store.unretired()
        return self._known

    def _add(self, key: Key) -> None:
        self._store.add(key)
        if self._known is not None:
            self._known = [*self._known, key]

    def _move(
        self, kid: str, state: KeyState, at: int, reason: str | None = None, issued_before: int | None = None
    ) -> None:
        known, self._known = self._known, None
        self._store.settle(kid, state, at, reason=reason, issued_before=issued_before)
        if state in {KeyState.RETIRED, KeyState.REVOKED}:
            self._publication.forget_tombstones()
        elif known is not None:  # who is published no more is for the store to say
            self._known = [
                replace(key, state=state, changed_at=at) if key.kid == kid else key for key in known
            ]

    async def attach(self, signer: SignerPort, announced: Sequence[tuple[str, str, int]]) -> None:
        """Use a signer from now on.

        Args:
            signer: a live incarnation that was admitted.
            announced: (announcement, state, ledger index) of each key that it already holds.
        """
        async with self._lock:
            self._signers[signer.log_id] = signer
            self._met.add(signer.log_id)
            for announcement, state, index in announced:
                self._adopt(signer.log_id, announcement, state, index)
        await self.tick()

    async def detach(self, log_id: str) -> None:
        """Stop using a signer that is gone; its keys will never sign again."""
        async with self._lock:
            self._signers.pop(log_id, None)
            self._refresh()

    def _adopt(self, log_id: str, announcement: str, state: str, index: int) -> None:
        claims = document_claims(announcement)
        known = self._store.get(claims["kid"])
        now = int(self._clock.now())
        if known is None:
            self._add(self._key(log_id, announcement, index, KeyState.STAGED, now))
            known = self._store.get(claims["kid"])
        if known is not None and state == "active" and known.state is KeyState.STAGED:
            self._move(known.kid, KeyState.ACTIVE, now)
        if known is not None and state == "destroyed" and known.state in {KeyState.STAGED, KeyState.ACTIVE}:
            self._move(known.kid, KeyState.VERIFY_ONLY, now)

    def _key(self, log_id: str, announcement: str, index: int, state: KeyState, now: int) -> Key:
        claims = document_claims(announcement)
        return Key(
            kid=claims["kid"],
            realm=claims["realm"],
            algorithm=claims["alg"],
            log_id=log_id,
            announcement=announcement,
            ledger_index=index,
            jwk=claims["jwk"],
            use_from=claims["use_from"],
            use_until=claims["use_until"],
            verify_until=claims["verify_until"],
            state=state,
            changed_at=now,
        )

    async def statement(self, kind: str, digest: str) -> Place:
        """Enter a statement in the log of any live signer; returns where it is.

        Raises:
            Unavailable: `no_signer`.
        """
        signer = next(iter(self._signers.values()), None)
        if signer is None:
            raise Unavailable("no_signer", "no signer is connected")
        return Place(signer.log_id, await signer.statement(kind, digest))

    def status(self) -> dict[str, Any]:
        """Figures for the admin surface. Ages in seconds, times in seconds since 1970."""
        now, keys, manifest = self._clock.now(), self._keys(), self._publication.latest
        changes = [
            change
            for policy in self._policies
            if (change := rules.next_change([key for key in keys if self._belongs(key, policy)], policy))
        ]
        return {
            "signers": sorted(self._signers),
            "manifest_version": manifest.version if manifest else 0,
            "manifest_expires_at": manifest.expires_at if manifest else None,
            "published_keys": sum(key.published for key in keys),
            "oldest_trusted_age": max((int(now - key.use_from) for key in keys if key.published), default=0),
            "next_change_at": min(changes, default=None),
        }

    async def tick(self) -> None:
        """Do what is due: stage, activate, settle; renew the manifest when half spent or changed."""
        async with self._lock:
            now, self._known = int(self._clock.now()), None
            live = list(self._signers)
            # After a restart of this process signers come back one by one: the others are not dead for that.
            self._expected = {i.log_id for i in self._admissions.incarnations() if i.live} - self._met
            for policy in self._policies:
                staged = await self._follow(policy, live, now)
                if staged:  # a cold start's window has begun already: activate in the same tick
                    await self._follow(policy, live, now)
            for action in rules.plan_orphans([key for key in self._keys() if self._is_orphan(key)], now):
                await self._carry_out(action, now)
            self._refresh()
            await self._publication.renew(self._signers, self._keys())
            self._refresh()

    async def _follow(self, policy: KeyPolicy, live: Sequence[str], now: int) -> bool:
        """Carry out what is due for one realm and algorithm; whether a key was staged."""
        mine = [key for key in self._keys() if self._belongs(key, policy)]
        actions = rules.plan(mine, policy, live, now, self._expected)
        for action in actions:
            await self._carry_out(action, now)
        return any(isinstance(action, rules.Stage) for action in actions)

    def _is_orphan(self, key: Key) -> bool:
        return not any(self._belongs(key, policy) for policy in self._policies)

    @staticmethod
    def _belongs(key: Key, policy: KeyPolicy) -> bool:
        return (key.realm, key.algorithm) == (policy.realm, policy.algorithm)

    async def _carry_out(self, action: rules.Action, now: int) -> None:
        match action:
            case rules.Stage(policy, log_id, use_from, use_until, verify_until):
                signer = self._signers[log_id]
                announcement, index = await signer.make_key(
                    policy.realm, policy.algorithm, use_from, use_until, verify_until
                )
                self._add(self._key(log_id, announcement, index, KeyState.STAGED, now))
                log.info(
                    "key staged",
                    extra={"facts": {"realm": policy.realm, "log_id": log_id, "use_from": use_from}},
                )
            case rules.Activate(key):
                await self._signers[key.log_id].activate(key.kid)
                for other in self._keys():
                    replaced = other.log_id == key.log_id and self._same_line(other, key)
                    if replaced and other.state is KeyState.ACTIVE:
                        self._move(other.kid, KeyState.VERIFY_ONLY, now)
                self._move(key.kid, KeyState.ACTIVE, now)
                log.info("key active", extra={"facts": {"realm": key.realm, "kid": key.kid}})
            case rules.Settle(key, state):
                rules.require_forward(key.state, state)
                await self._settle(key, state, now)

    @staticmethod
    def _same_line(one: Key, other: Key) -> bool:
        return (one.realm, one.algorithm) == (other.realm, other.algorithm)

    async def _settle(self, key: Key, state: KeyState, now: int) -> None:
        signer = next(iter(self._signers.values()), None)
        if signer is None:
            return  # every change is a ledger entry first; without a signer there is no ledger to enter it in
        fact = json.dumps({"at": now, "kid": key.kid, "state": state}, sort_keys=True).encode()
        await signer.statement("key-state", hashlib.sha256(fact).hexdigest())
        self._move(key.kid, state, now)
        log.info("key settled", extra={"facts": {"realm": key.realm, "kid": key.kid, "state": str(state)}})

    def _refresh(self) -> None:
        self._active = {}
        for key in self._keys():
            told = key.kid in self._publication.listed  # a validator must be able to know it first
            if told and key.state is KeyState.ACTIVE and key.log_id in self._signers:
                self._active.setdefault(key.realm, []).append(key)
        first = {policy.realm: policy.algorithm for policy in reversed(self._policies)}
        for realm, keys in self._active.items():
            keys.sort(key=lambda key: (key.algorithm != first[realm], key.log_id))
            self._active[realm] = [key for key in keys if key.algorithm == keys[0].algorithm]

    async def require_revocable(self, kid: str) -> None:
        """Refuse what `revoke` would refuse of this key now.

        Raises:
            Refused: `unknown_key`, or `state_goes_back` when it is revoked already.
        """
        key = await asyncio.to_thread(self._store.get, kid)
        if key is None:
            raise Refused("unknown_key", "no such key")
        rules.require_forward(key.state, KeyState.REVOKED)

    async def revoke(self, kid: str, reason: str, issued_before: int | None = None) -> None:
        """Revoke a key: its private half is destroyed, the next manifest says so at once.

        Args:
            kid: the key.
            reason: for example `key_compromise`; stays in the manifest and the ledger.
            issued_before: seconds since 1970; tokens issued before it stay valid. None: none stays valid.

        Raises:
            Refused: `unknown_key`, or `state_goes_back` when it is revoked already.
        """
        # Everything that a signer would refuse to publish is refused here, before anything is destroyed or
        # stored.
        if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
            raise Refused("bad_reason", f"the reason needs 1 to {MAX_REASON} printable characters")
        if issued_before is not None and not 0 < issued_before <= int(self._clock.now()):
            raise Refused("bad_issued_before", "issued_before is a time in the past, in seconds since 1970")
        async with self._lock:
            key = self._store.get(kid)
            if key is None:
                raise Refused("unknown_key", "no such key")
            rules.require_forward(key.state, KeyState.REVOKED)
            signer = self._signers.get(key.log_id)
            if signer is not None and key.state in {KeyState.STAGED, KeyState.ACTIVE}:
                await signer.destroy(kid, reason)
            now = int(self._clock.now())
            self._move(kid, KeyState.REVOKED, now, reason, issued_before)
            self._refresh()
            await self._publication.renew(self._signers, self._keys())
            log.warning("key revoked", extra={"facts": {"kid": kid, "realm": key.realm, "reason": reason}})
        await self.tick()

    async def rotate(self, realm: str | None = None) -> list[Key]:
        """Stage a successor of every active key (of one realm) now; it signs once the lead is over.

        Returns the staged keys. Where a successor is staged already, that one stays and nothing is added.

        Raises:
            Refused: `unknown_realm`, or `nothing_to_rotate` where no key is active without a successor.
            Unavailable: the signer went away.
        """
        mine = [policy for policy in self._policies if realm in {None, policy.realm}]
        if not mine:
            raise Refused("unknown_realm", "no such realm")
        async with self._lock:
            now, self._known = int(self._clock.now()), None
            live, before = list(self._signers), {key.kid for key in self._keys()}
            for policy in mine:
                keys = [key for key in self._keys() if self._belongs(key, policy)]
                for action in rules.plan_rotation(keys, policy, live, now):
                    await self._carry_out(action, now)
            staged = [key for key in self._keys() if key.kid not in before]
            if not staged:
                raise Refused(
                    "nothing_to_rotate", "every active key has a staged successor, or there is none"
                )
            await self._publication.renew(self._signers, self._keys())
        return staged

    async def set_strict(self, realms: Sequence[str]) -> None:
        """From now on the manifest has validators of exactly these realms ask the ledger first."""
        async with self._lock:
            self._publication.strict_realms = sorted(realms)
            await self._publication.renew(self._signers, self._keys())
