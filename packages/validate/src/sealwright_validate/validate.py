"""The validator: one call that returns a verified token or raises Refused.

It runs the steps of steps.py over what a Trust holds, asks for an unknown key once, asks the ledger in strict
mode, notes an observation, and remembers verified signatures. May never have an option that leaves a check
out: modes add checks, they remove none.
"""

from collections.abc import Callable
from enum import StrEnum, unique
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sealwright_validate.cache import DEFAULT_SIZE, Entry, TokenCache
from sealwright_validate.encoding import read_only
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.expect import Expect
from sealwright_validate.heads import SeenHeads
from sealwright_validate.health import Health, health_of
from sealwright_validate.keyset import KeySnapshot, TrustedKey
from sealwright_validate.ledger_check import LedgerCheck
from sealwright_validate.possession import NOTHING_PRESENTED, Possession, Presented
from sealwright_validate.report import Report
from sealwright_validate.steps import MAX_SKEW, SIGNATURE_STEPS, TRUST_STEPS, Case
from sealwright_validate.tally import Observation
from sealwright_validate.token import MAX_TOKEN_BYTES, VerifiedToken
from sealwright_validate.trust import Trust

if TYPE_CHECKING:
    from sealwright_validate.observe import Observer
    from sealwright_validate.signals import Signals

FIRST_KEYS_WAIT: Final = 5.0  # seconds that the first validation may wait for the first publication
UNKNOWN_KEY_WAIT: Final = 2.0  # seconds that a validation may wait for a key that it does not know yet
MAX_TOLD_KEYS: Final = 1024  # key ids in a report (docs/formats/observation.md)


@unique
class Mode(StrEnum):
    """`async`: accept at once, report, and let the authority raise the alarm. `strict`: ask the ledger
    first.
    """

    ASYNC = "async"
    STRICT = "strict"


class Validator:
    """Validates tokens against one Trust. Create one for a process and share it: it is safe in threads and
    forks.

    `mode` is `async` or `strict`. `report` says where observations go. `skew` is how far clocks may differ,
    in seconds, 60 at the most. `possession` says how proofs are checked. `cache_size` bounds the number of
    remembered tokens. `signals` are security events that end tokens between two manifests. Raises
    Misconfigured.
    """

    def __init__(
        self,
        *,
        trust: Trust,
        mode: Mode | str = Mode.ASYNC,
        report: Report | None = None,
        skew: float = 5.0,
        possession: Possession | None = None,
        cache_size: int = DEFAULT_SIZE,
        signals: "Signals | None" = None,
    ) -> None:
        if not 0 <= skew <= MAX_SKEW:
            raise Misconfigured(f"a skew of {skew} s: between 0 and {MAX_SKEW} s are allowed")
        if cache_size < 1:
            raise Misconfigured("the cache needs room for one token at least")
        try:
            self.mode: Final = Mode(mode)
        except ValueError:
            raise Misconfigured(f"mode {mode!r}: async or strict") from None
        self.trust: Final = trust
        self._strict = self.mode is Mode.STRICT
        self._skew = skew
        self._possession = possession or Possession()
        self._signals = signals
        self._cache = TokenCache(cache_size)
        self._seen_heads = SeenHeads()
        self._wall = trust.clock.wall
        self._monotonic = trust.clock.monotonic
        self._ledger = LedgerCheck(trust.url, clock=trust.clock) if trust.has_ledger else None
        if self._ledger is None and self.mode is Mode.STRICT:
            raise Misconfigured("strict mode needs a Sealwright: other issuers keep no ledger")
        self._observer: Observer | None = None
        if report is not None:
            self._observer = report.observer(trust, mode=self.mode.value, describe=self._describe)

    def start(self) -> None:
        """Fetch keys now rather than with the first token; returns when they are there or a first try
        failed.
        """
        self.trust.wait_ready(FIRST_KEYS_WAIT)
        if self._observer is not None:
            self._observer.start()
        if self._signals is not None:
            self._signals.start()

    def close(self) -> None:
        """Stop the background threads; observations that wait are sent or spooled first."""
        if self._observer is not None:
            self._observer.close()
        if self._ledger is not None:
            self._ledger.close()
        if self._signals is not None:
            self._signals.close()
        self.trust.close()

    def dpop_nonce(self) -> str | None:
        """The nonce that DPoP proofs must carry now, None where no nonces are demanded."""
        nonces = self._possession.nonces
        return nonces.current(self._wall()) if nonces is not None else None

    def health(self) -> Health:
        """What this validator knows and has done, for a health check or a metric."""
        return health_of(self.trust, self.mode.value, len(self._cache), self._observer)

    def validate(self, token: str, expect: Expect, presented: Presented = NOTHING_PRESENTED) -> VerifiedToken:
        """The verified token; raises Refused with one reason.

        `presented` is how it came: a token that is bound to a key is accepted only with the proof. May wait
        for keys or, in strict mode, for the ledger: in an event loop use `validate_async`.
        """
        name = _name(token)
        seen = self._remembered(name, expect, presented)
        if seen is not None:
            return seen
        if self.trust.held is None:
            self.trust.wait_ready(FIRST_KEYS_WAIT)
        try:
            case = self._judge(name, token, expect, learnt=False)
        except _KeyWantedError as wanted:
            wanted.trust.learn(wanted.kid, UNKNOWN_KEY_WAIT)
            case = self._judge(name, token, expect, learnt=True)
        self._prove(name, case, presented)
        if self._must_ask(case.snapshot, case.key):
            self._ask(name, case)
        return self._accept(name, case)

    async def validate_async(
        self, token: str, expect: Expect, presented: Presented = NOTHING_PRESENTED
    ) -> VerifiedToken:
        """The same for an event loop: whatever would wait is done in a thread."""
        name = _name(token)
        seen = self._remembered(name, expect, presented)
        if seen is not None:
            return seen
        if self.trust.held is None:
            await _in_thread(self.trust.wait_ready, FIRST_KEYS_WAIT)
        try:
            case = self._judge(name, token, expect, learnt=False)
        except _KeyWantedError as wanted:
            await _in_thread(wanted.trust.learn, wanted.kid, UNKNOWN_KEY_WAIT)
            case = self._judge(name, token, expect, learnt=True)
        self._prove(name, case, presented)
        if self._must_ask(case.snapshot, case.key):
            await _in_thread(self._ask, name, case)
        return self._accept(name, case)

    def _remembered(self, name: bytes, expect: Expect, presented: Presented) -> VerifiedToken | None:
        """The answer of an earlier call, if nothing that it rested on has changed since."""
        entry = self._cache.get(name)
        if entry is None or entry.expect is not expect or entry.must_prove:
            return None
        if presented is not NOTHING_PRESENTED and (
            presented.receipt is not None or presented.scheme.lower() != "bearer"
        ):
            return None
        held = entry.trust.held
        if held is None or entry.snapshot is not held.snapshot:
            return None
        now = self._wall()
        if not entry.since <= now < entry.until or not held.is_fresh(now, self._monotonic()):
            return None
        if self._signals is not None:
            self._signals.start()
            if self._signals.ended.is_ended(entry.verified.kid, entry.verified.claims) is not None:
                return None  # the steps say why
        return None if self._must_ask(held.snapshot, entry.verified.key) else entry.verified

    def _must_ask(self, snapshot: KeySnapshot, key: TrustedKey) -> bool:
        return self._strict or key.realm in snapshot.strict_realms

    def _judge(self, name: bytes, token: str, expect: Expect, *, learnt: bool) -> Case:
        """Every step that needs no waiting. Raises _KeyWantedError once for a key that may be learnt."""
        trust = self.trust.for_token(token)
        case = self._case(token, expect, trust)
        entry = self._cache.get(name)
        try:
            if entry is None or not self._recall(case, entry):
                for step in SIGNATURE_STEPS:
                    step(case)
            for step in TRUST_STEPS:
                step(case)
            if self._signals is not None:
                self._signals.start()
                self._signals.ended.require_living(case.header.kid, case.claims)
        except Refused as refusal:
            if refusal.reason is Reason.UNKNOWN_KEY and not learnt and trust.may_learn(case.header.kid):
                raise _KeyWantedError(case.header.kid, trust) from None
            raise self._refuse(name, case, refusal) from None
        return case

    def _accept(self, name: bytes, case: Case) -> VerifiedToken:
        verified = VerifiedToken(read_only(case.claims), case.key, case.digest.hex(), case.header.typ)
        if self._observer is not None and self._cache.get(name) is None:
            self._note(case, "accepted")
        self._cache.put(name, Entry(verified, case, self._skew))
        return verified

    def _refuse(self, name: bytes, case: Case, refusal: Refused) -> Refused:
        blamed = _blame(case.trust, refusal)
        self._cache.drop(name)
        self._note(case, blamed.reason.value)
        return blamed

    def _case(self, token: str, expect: Expect, trust: Trust) -> Case:
        if not isinstance(expect, Expect):
            raise Misconfigured("say what is expected: Expect(audience=…)")
        held = trust.held
        if held is None:
            raise _blame(trust, Refused(Reason.KEYS_UNAVAILABLE, "no publication has been verified yet"))
        now = self._wall()
        fresh = held.is_fresh(now, self._monotonic())
        return Case(token, expect, held.snapshot, trust, now=now, skew=self._skew, fresh=fresh)

    def _recall(self, case: Case, entry: Entry) -> bool:
        """Take over what a verified signature established, if the key is still published as the same key."""
        key = case.snapshot.keys.get(entry.verified.kid)
        if key is None or key.thumbprint != entry.verified.key.thumbprint:
            return False
        case.key, case.header, case.claims = key, entry.header, entry.verified.claims
        case.digest, case.signature_valid = bytes.fromhex(entry.verified.digest), True
        return True

    def _prove(self, name: bytes, case: Case, presented: Presented) -> None:
        try:
            case.binding = self._possession.require(
                case.claims, case.unverified_text, presented, case.expect.possession, case.now
            )
            self._check_receipt(case, presented)
        except Refused as refusal:
            raise self._refuse(name, case, refusal) from None

    def _check_receipt(self, case: Case, presented: Presented) -> None:
        """A receipt that came along proves what it says; where one is demanded, one must."""
        if presented.receipt is not None:
            from sealwright_validate.receipt import require_witnessed_receipt

            require_witnessed_receipt(presented.receipt, case, self._seen_heads)
        elif case.expect.receipt:
            raise Refused(Reason.RECEIPT_MISSING, "no receipt came with the token")

    def _ask(self, name: bytes, case: Case) -> None:
        jti: Any = case.claims.get("jti")
        try:
            if self._ledger is None or not case.trust.has_ledger:
                raise Refused(Reason.LEDGER_UNAVAILABLE, "this trust has no ledger")  # noqa: TRY301 - one way out
            self._ledger.require_issued(jti if isinstance(jti, str) else "", case.digest.hex(), case.key.kid)
        except Refused as refusal:
            raise self._refuse(name, case, refusal) from None

    def _note(self, case: Case, verdict: str) -> None:
        if self._observer is not None and case.digest:
            claims = case.claims if case.signature_valid else {}
            self._observer.note(
                Observation(
                    case.now,
                    verdict,
                    case.signature_valid,
                    case.digest,
                    case.header.kid,
                    claims,
                    case.binding,
                )
            )

    def _describe(self) -> dict[str, Any]:
        held = self.trust.held
        age = self._monotonic() - held.received_at if held else None
        trusted = sorted(held.snapshot.keys)[:MAX_TOLD_KEYS] if held else []
        version = held.snapshot.version if held else 0
        return {"manifest_version": version, "manifest_age": age, "keys": trusted}


async def _in_thread(do: Callable[..., None], *given: Any) -> None:
    import asyncio

    await asyncio.to_thread(do, *given)


class _KeyWantedError(Exception):
    """The key of a token is not known, and asking for it may help."""

    def __init__(self, kid: str, trust: Trust) -> None:
        super().__init__(kid)
        self.kid = kid
        self.trust = trust


def _blame(trust: Trust, refusal: Refused) -> Refused:
    """A rollback is named as what it is when it is the cause of a publication being missing or stale."""
    if refusal.reason in (Reason.MANIFEST_STALE, Reason.KEYS_UNAVAILABLE):
        cause = trust.last_refusal
        if cause is not None and cause.reason is Reason.MANIFEST_ROLLED_BACK:
            return Refused(cause.reason, f"{refusal.detail}; {cause.detail}")
    return refusal


def _name(token: str) -> bytes:
    """What the cache calls a token; texts that can be no token share a name under which nothing is kept."""
    if type(token) is str and len(token) <= MAX_TOKEN_BYTES and token.isascii():
        return sha256(token.encode("ascii")).digest()
    return b""
