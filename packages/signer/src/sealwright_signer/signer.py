"""The operations of the signer: decides, signs, enters in the ledger. Knows nothing of sockets.

May never sign before it has decided under its own policy, nor return a token whose leaf is not under the
checkpoint that goes with it.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature

from sealwright_signer import evidence
from sealwright_signer.custody import Custody, Wanted
from sealwright_signer.identity import Identity, spki_of
from sealwright_signer.journal import STATEMENT, Journal, json_leaf, token_leaf
from sealwright_signer.jws import RSA, b64, b64u
from sealwright_signer.keyring import SKEW, Key, Keyring
from sealwright_signer.manifest import ManifestRules
from sealwright_signer.policy import Policy
from sealwright_signer.protocol import VERSION, Code, Refused, encode, require, shape
from sealwright_signer.tokens import claims, require_shape

MAX_BATCH = 512
MAX_REASON = 200  # characters
ALWAYS_VERIFIED = 8  # up to this batch size every signature is verified, above it one in sixteen (ADR 0004)
ONE_IN_SIXTEEN = 16  # of the 256 values of a byte
# manifest and incarnation are the signer's own
STATEMENTS = ("admission", "audit", "key-state", "log-list", "policy")
MANIFEST = "sealwright-manifest+jwt"
_DIGEST = re.compile("[0-9a-f]{64}")
OPERATIONS = {  # name: members, and whether the authority role is needed
    "hello": (shape(int="protocol", str="role"), False),
    "evidence": (shape(str="nonce"), False),
    "release": (shape(str="sealed"), False),
    "stats": (shape(), False),
    "make_key": (shape(str="realm alg", int="use_from use_until verify_until"), True),
    "activate": (shape(str="kid"), True),
    "destroy": (shape(str="kid reason"), True),
    "sign": (shape(list="requests"), True),
    "statement": (shape(str="type digest"), True),
    "manifest": (
        shape(int="version life", list="keys revocations tombstones strict_realms admissions"),
        True,
    ),
    "ack": (shape(int="size"), True),
}


class SelfCheckFailed(Exception):
    """A signature of our own does not verify: the process ends before the signature leaves it."""


class Signer:
    """One incarnation. Operations take members that fit their shape and return the JSON of the answer."""

    def __init__(
        self,
        policy: Policy,
        custody: Custody,
        clock: Callable[[], float],
        isolation: Sequence[Any] = (),
        ask: evidence.Ask = evidence.nothing,
    ) -> None:
        """`clock` gives seconds since 1970; `isolation` is what `hello` says; `ask` collects evidence."""
        self._ask, self._shown = ask, dict[str, str]()
        self._policy, self._custody, self._clock, self._isolation = policy, custody, clock, isolation
        self._latest = clock()
        self._started_at, self._signed, self._refused = int(self._latest), 0, Counter[str]()
        self.identity = ident = Identity()
        self.journal = Journal(f"{policy.origin_prefix}/{ident.log_id}", ident.public, ident.sign)
        self.keyring = Keyring(policy, custody, ident)
        self._rules = ManifestRules(policy, self.keyring.keys, ident.log_id)
        marks = {"salt": ident.salt.hex(), "entries": ident.marks}
        self._state("incarnation", policy.digest, fingerprints=marks)

    def _now(self) -> float:
        now = self._clock()
        self._latest = max(self._latest, now)
        return now

    def _steady(self) -> int:
        now = self._now()
        require(now >= self._latest - SKEW, Code.key_outside_window, "the clock ran backwards")
        return int(now)

    def _state(self, kind: str, digest: str, **more: object) -> None:
        self.journal.append([json_leaf(STATEMENT, type=kind, digest=digest, at=int(self._now()), **more)])

    def _enter(self, *leaves: bytes) -> str:
        if leaves:
            self.journal.append(leaves)
        return f'{{"batch":{self.journal.batch()}}}'

    def tick(self) -> None:
        """Destroy what has reached the end of its window, asked or not."""
        self._custody.require_there()
        self._now()
        if leaves := list(self.keyring.expire(self._latest)):
            self.journal.append(leaves)

    def refused(self, code: Code) -> None:
        """Count a refusal."""
        self._refused[code] += 1

    def hello(self, *, protocol: int, role: str) -> str:
        """Who this incarnation is, and for the authority what it has not acknowledged."""
        right = protocol == VERSION and role in ("authority", "observer")
        require(right, Code.bad_request, f"protocol is {VERSION}, role is authority or observer")
        journal, identity = self.journal, self.identity
        known: dict[str, Any] = {"log_id": identity.log_id, "origin": journal.origin, "jwk": identity.jwk}
        known |= {"vkey": journal.vkey, "size": journal.size, "acked": journal.acked}
        known |= {"checkpoint": journal.checkpoint, "policy_digest": self._policy.digest}
        known |= {"isolation": self._isolation, "custody": self._custody.kind}
        known |= {"keys": self.keyring.listed(), "started_at": self._started_at}
        pending = journal.pending() if role == "authority" else "[]"
        return f'{encode(known)[:-1]},"pending":{pending}}}'

    def evidence(self, *, nonce: str) -> str:
        """Evidence about this incarnation, bound to its identity key and the nonce, and to the key that its
        custody wants a secret encrypted to.
        """
        spki, key = spki_of(self.identity.public), getattr(self._custody, "release_key", b"")
        shown = evidence.collect(spki, nonce, self._ask, key)
        self._shown = {"nonce": nonce, "spki": spki.hex(), "shown": shown["evidence"]}
        return encode(shown)

    def release(self, *, sealed: str) -> str:
        """Hand custody the secret that it waits for; it alone can open it, and only for the last evidence."""
        custody: Any = self._custody
        waits = getattr(custody, "release_key", b"") and self._shown
        require(waits, Code.bad_request, "no secret is waited for")
        custody.release(sealed, self._shown)
        return "{}"

    def stats(self) -> str:
        """Counters since the start."""
        counted: dict[str, Any] = {
            "signed": self._signed,
            "refused": self._refused,
            "size": self.journal.size,
            "by_key": {key.kid: key.signed for key in self.keyring.keys.values()},
        }
        return encode({**counted, "acked": self.journal.acked, "keys": len(self.keyring.keys)})

    def ack(self, *, size: int) -> str:
        """Forget leaves that are durable."""
        self.journal.acknowledge(size)
        return "{}"

    def make_key(self, **wanted: Any) -> str:
        """Make a staged key and announce it."""
        self.journal.require_room()
        key, leaf = self.keyring.make(wanted, self._steady(), self.journal.size)
        made = encode({"kid": key.kid, "announcement": key.announcement, "ledger_index": key.ledger_index})
        return f"{made[:-1]},{self._enter(leaf)[1:]}"

    def activate(self, *, kid: str) -> str:
        """Let a staged key sign; the one before it ends."""
        self.journal.require_room(2)
        return self._enter(*self.keyring.activate(kid, self._steady()))

    def destroy(self, *, kid: str, reason: str) -> str:
        """End a private half, however much waits for acknowledgement."""
        named = 0 < len(reason) <= MAX_REASON and reason.isprintable()
        require(named, Code.bad_request, f"reason is 1 to {MAX_REASON} printable characters")
        return self._enter(*self.keyring.destroy(self.keyring.require(kid), int(self._now()), reason))

    def statement(self, *, type: str, digest: str) -> str:  # noqa: A002 - the member's name
        """Enter the digest of something that the authority states."""
        require(type in STATEMENTS, Code.type_not_allowed, f"statements are {', '.join(STATEMENTS)}")
        require(_DIGEST.fullmatch(digest), Code.bad_request, "digest is 64 lower-case hexadecimal digits")
        self.journal.require_room()
        self._state(type, digest)
        return self._enter()

    def manifest(self, **asked: Any) -> str:
        """Sign the key manifest and enter its digest."""
        self.journal.require_room()
        document = self.identity.document(MANIFEST, self._rules.payload(asked, self._steady()))
        self._state("manifest", sha256(document.encode()).hexdigest())
        return f'{{"manifest":"{document}",{self._enter()[1:]}'

    def sign(self, *, requests: list[Any]) -> str:
        """Sign what may be signed, refuse the rest one by one."""
        require(0 < len(requests) <= MAX_BATCH, Code.bad_request, f"1 to {MAX_BATCH} requests")
        self.journal.require_room(len(requests))
        self.tick()
        batch = _Batch(self.keyring, (self._now(), self._latest), self.journal, len(requests))
        refusals = list[str | None]()
        for unverified in requests:
            try:
                batch.take(unverified)
                refusals.append(None)
            except Refused as refusal:
                self.refused(refusal.code)
                refusals.append(encode({"refused": refusal.code, "message": refusal.message}))
        tokens, leaves = batch.sign(self._custody)
        self._signed += len(leaves)
        results = ",".join([refused or next(tokens) for refused in refusals])
        entered = self._enter(*leaves)[1:] if leaves else '"batch":null}'
        return f'{{"results":[{results}],{entered}'


class _Batch:
    """Tokens of one `sign`: one time, one run of indices, one draw of random bytes."""

    def __init__(self, ring: Keyring, times: tuple[float, float], journal: Journal, size: int) -> None:
        self._ring, self._times, self._iat = ring, times, int(times[0])
        self._ready = dict[tuple[str, str], Key]()
        self._place, self._next = journal.log_id, journal.size
        self._all, draw = size <= ALWAYS_VERIFIED, os.urandom(10 * size)
        self._blinds, self._dice = b64u(draw[: 9 * size]), draw[9 * size :]  # 9 bytes are 12 characters
        self._wanted = list[Wanted]()  # handle, signing input and its SHA-256
        self._rest = list[tuple[Key, int, bytes]]()  # key, exp and record's digest of each

    def _key(self, realm: str, kid: str) -> Key:
        self._ready[realm, kid] = key = self._ring.require_signing(realm, kid, *self._times)
        return key

    def take(self, unverified: Any) -> None:
        """Decide on a request and write the token that it will be; Refused when it may not be."""
        request = require_shape(unverified)
        realm, kid, typ, ttl = request[0], request[1], request[2], request[7]
        key = self._ready.get((realm, kid)) or self._key(realm, kid)
        head, tail, record = claims(key.realm, request)
        done, exp = len(self._rest), min(self._iat + ttl, key.verify_until)
        jti = f"{self._place}.{self._next + done}.{self._blinds[12 * done : 12 * done + 12]}"
        payload = f'{head},"iat":{self._iat},"exp":{exp},"jti":"{jti}"{tail}'
        message = (key.headers.get(typ) or _header(key, typ)) + b64(payload.encode())
        self._wanted.append((key.handle, message, sha256(message).digest()))
        self._rest.append((key, exp, record))

    def sign(self, custody: Custody) -> tuple[Iterator[str], list[bytes]]:
        """The tokens as JSON strings, and their leaves: of all that were taken, or an error and none."""
        tokens, leaves, iat, every = list[str](), list[bytes](), self._iat, self._all
        signatures = custody.sign(self._wanted) if self._wanted else []
        signed = zip(self._wanted, self._rest, signatures, self._dice[: len(self._rest)], strict=True)
        for (_, message, digest), (key, exp, record), signature, die in signed:
            if die < ONE_IN_SIXTEEN or every or not key.proven or key.alg in RSA:
                _require_valid(key, signature, message)
            leaves.append(token_leaf(digest, key.kid_raw, iat, exp, record))
            key.signed += 1
            tokens.append(f'"{message.decode()}.{b64u(signature)}"')
        return iter(tokens), leaves


def _header(key: Key, typ: str) -> bytes:
    header = encode({"alg": key.alg, "kid": key.kid, "typ": typ})
    key.headers[typ] = encoded = b64(header.encode()) + b"."
    return encoded


def _require_valid(key: Key, signature: bytes, message: bytes) -> None:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise SelfCheckFailed("a signature of our own does not verify") from None
    key.proven = True
