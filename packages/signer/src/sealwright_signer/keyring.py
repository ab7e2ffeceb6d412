"""The token keys of one incarnation: their windows, their states, and their events for the ledger.

May never let a key sign outside its realm, algorithm or window, nor keep a private half past `use_until`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sealwright_signer import jws
from sealwright_signer.custody import Custody
from sealwright_signer.identity import Identity
from sealwright_signer.journal import KEY_EVENT, json_leaf
from sealwright_signer.policy import KEY_USE_CEILING, Policy, Realm
from sealwright_signer.protocol import Code, Refused, require

STAGED, ACTIVE, DESTROYED = "staged", "active", "destroyed"
MAX_KEYS = 512  # of all states together; a key leaves the ring at verify_until
SKEW = 5  # seconds that a clock may run backwards, and that a cold start's use_from may lie back
ANNOUNCEMENT = "sealwright-key+jwt"
_WINDOW = ("use_from", "use_until", "verify_until")


@dataclass(slots=True)
class Key:
    """One key; times in seconds since 1970. It is live until its private half is gone."""

    realm: Realm
    alg: str
    kid: str
    kid_raw: bytes
    announcement: str
    ledger_index: int
    verify: jws.Verifier
    handle: Any
    use_from: int
    use_until: int
    verify_until: int
    state: str = STAGED
    proven: bool = False  # its first signature was verified
    signed: int = 0  # tokens
    headers: dict[str, bytes] = field(default_factory=dict)  # encoded JWS header and a dot, by token type

    @property
    def live(self) -> bool:
        """Whether there is a private half."""
        return self.state != DESTROYED


class Keyring:
    """All keys; methods that change a state return or yield the leaves that say so."""

    def __init__(self, policy: Policy, custody: Custody, identity: Identity) -> None:
        self._policy, self._custody, self._identity = policy, custody, identity
        self.keys = dict[str, Key]()

    def make(self, wanted: dict[str, Any], now: int, index: int) -> tuple[Key, bytes]:
        """A new staged key, whose announcement will be leaf `index`, and that leaf."""
        realm = self._policy.realms.get(wanted["realm"])
        if realm is None:
            raise Refused(Code.unknown_realm, "the policy has no such realm")
        alg, window = wanted["alg"], {name: wanted[name] for name in _WINDOW}
        require(alg in realm.algorithms, Code.algorithm_not_allowed, "the realm does not sign so")
        self._require_window(realm, alg, now, **window)
        require(len(self.keys) < MAX_KEYS, Code.too_many_pending, "too many keys are not retired yet")
        handle = self._custody.generate(alg)
        jwk = self._custody.public_jwk(handle)
        raw = jws.unb64u(kid := jws.thumbprint(jwk))
        announced: dict[str, Any] = {"kid": kid, "jwk": {**jwk, "alg": alg, "kid": kid, "use": "sig"}}
        announced |= {"realm": realm.name, "issuer": realm.issuer, "audiences": list(realm.audiences)}
        announced |= {"token_types": realm.token_types, "alg": alg, "max_lifetime": realm.max_lifetime}
        announced |= {**window, "incarnation": self._identity.log_id}
        signed = self._identity.document(ANNOUNCEMENT, announced)
        verify = jws.verifier(jwk, alg)
        self.keys[kid] = key = Key(realm, alg, kid, raw, signed, index, verify, handle, **window)
        # a custody outside this process has nothing in memory that a dump could hold
        ask = getattr(self._custody, "fingerprints", None)
        marks, salt = ask(handle, self._identity.salt) if ask else [], self._identity.salt.hex()
        found = {"fingerprints": {"salt": salt, "entries": marks}} if marks else {}
        return key, _event(key, "announced", now, announcement=signed, **found)

    def _require_window(
        self, realm: Realm, alg: str, now: int, *, use_from: int, use_until: int, verify_until: int
    ) -> None:
        cold = not any(k.realm is realm and k.alg == alg and k.live for k in self.keys.values())
        lead = -SKEW if cold else self._policy.rollover_lead
        timely = now + lead <= use_from <= now + KEY_USE_CEILING
        require(timely, Code.window_not_allowed, "use_from is too soon for validators, or too far off")
        short = use_from < use_until <= use_from + self._policy.key_use_max and now < use_until
        require(short, Code.window_not_allowed, f"a key signs for at most {self._policy.key_use_max} s")
        covered = use_until + realm.max_lifetime <= verify_until <= use_until + KEY_USE_CEILING
        require(covered, Code.window_not_allowed, "verify_until must cover the last token, and little more")

    def require(self, kid: str) -> Key:
        """The key of this id."""
        require(kid in self.keys, Code.unknown_key, "no such key, or it is retired")
        return self.keys[kid]

    def require_signing(self, realm: str, kid: str, now: float, latest: float) -> Key:
        """The key, if it signs for this realm now; `latest` is the latest time that the clock ever showed."""
        require(realm in self._policy.realms, Code.unknown_realm, "the policy has no such realm")
        key = self.require(kid)
        require(key.realm.name == realm, Code.key_of_other_realm, "the key belongs to another realm")
        opened = latest - SKEW <= now and key.use_from <= now and latest < key.use_until
        require(opened, Code.key_outside_window, "the key's window is not open, or the clock ran backwards")
        require(key.state == ACTIVE, Code.key_not_active, f"the key is {key.state}")
        return key

    def activate(self, kid: str, now: int) -> Iterator[bytes]:
        """Make a staged key the one that signs, and end the one before it."""
        key = self.require(kid)
        require(key.state == STAGED, Code.key_not_active, f"the key is {key.state}, not staged")
        opened = key.use_from <= now < key.use_until
        require(opened, Code.key_outside_window, "the key's window is not open")
        lane = key.realm.name, key.alg
        before = [k for k in self.keys.values() if k.state == ACTIVE and (k.realm.name, k.alg) == lane]
        key.state = ACTIVE
        yield _event(key, "activated", now)
        for old in before:
            yield from self.destroy(old, now, "superseded")

    def destroy(self, key: Key, now: int, reason: str) -> Iterator[bytes]:
        """End the private half; nothing happens when it is gone already."""
        if key.live:
            handle, key.handle, key.state = key.handle, None, DESTROYED
            self._custody.destroy(handle)
            yield _event(key, "destroyed", now, reason=reason)

    def expire(self, now: float) -> Iterator[bytes]:
        """Destroy every private half whose window is over; forget keys that no valid token can name."""
        for key in [k for k in self.keys.values() if now >= k.use_until]:
            yield from self.destroy(key, int(now), "window_over")
            if now >= key.verify_until:
                del self.keys[key.kid]

    def listed(self) -> list[dict[str, Any]]:
        """All keys as `hello` shows them."""
        names = "announcement", "state", "ledger_index"
        return [{name: getattr(key, name) for name in names} for key in self.keys.values()]


def _event(key: Key, event: str, now: int, **further: Any) -> bytes:
    return json_leaf(KEY_EVENT, event=event, kid=key.kid, realm=key.realm.name, at=now, **further)
