"""Several trusts behind one validator: a token is judged by the one that its issuer belongs to.

The issuer is read from the unverified token to choose who judges; the chosen trust then verifies that very
issuer. A key that two of the trusts publish is refused under both: nobody could say whose token it signed.
May never try one trust after the other until one accepts.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sealwright_validate.encoding import decode_json_object, decode_translated
from sealwright_validate.errors import Misconfigured, Reason, Refused
from sealwright_validate.keyset import Held
from sealwright_validate.token import UnverifiedToken, take_apart
from sealwright_validate.trust import Trust


class AnyTrust(Trust):
    """One of several trusts, by issuer."""

    def __init__(self, trusts: Sequence[Trust]) -> None:
        if len(trusts) < 2 or any(isinstance(trust, AnyTrust) for trust in trusts):  # noqa: PLR2004 - "several"
            raise Misconfigured("several plain trusts are needed to choose from")
        self._trusts: Final = tuple(trusts)
        first = trusts[0]
        ledger = next((trust.url for trust in trusts if trust.has_ledger), None)
        super().__init__(
            _Together(self._trusts), url=ledger or first.url, clock=first.clock, has_ledger=ledger is not None
        )

    def for_token(self, unverified_token: str) -> Trust:
        """The trust that judges this token; raises Refused for a key that two trusts share."""
        try:
            taken = take_apart(unverified_token)
        except Refused:
            return self._trusts[0]  # it refuses for the same reason, with an observation
        chosen = self._choose(taken)
        self._require_unshared(chosen, taken.header.kid)
        return chosen

    def wait_ready(self, timeout: float) -> None:
        """Wait for every trust in turn, at most `timeout` seconds each."""
        for trust in self._trusts:
            trust.wait_ready(timeout)

    def _choose(self, taken: UnverifiedToken) -> Trust:
        issuer = _unverified_issuer(taken)
        for trust in self._trusts:
            if trust.speaks_for(issuer):
                return trust
        for trust in self._trusts:
            held = trust.held
            if held is not None and taken.header.kid in held.snapshot.keys:
                return trust
        return self._trusts[0]

    def _require_unshared(self, chosen: Trust, kid: str) -> None:
        mine = chosen.held
        key = mine.snapshot.keys.get(kid) if mine else None
        if key is None:
            return
        for trust in self._trusts:
            other = trust.held
            if trust is not chosen and other is not None and key.thumbprint in other.snapshot.thumbprints:
                raise Refused(Reason.KEY_SHARED, f"{chosen.url} and {trust.url} publish key {key.thumbprint}")


def any_of(trusts: Iterable[Trust]) -> AnyTrust:
    """A trust in several issuers at once."""
    return AnyTrust(tuple(trusts))


def _unverified_issuer(taken: UnverifiedToken) -> str:
    try:
        issuer = decode_json_object(decode_translated(taken.unverified_payload)).get("iss")
    except Refused:
        return ""
    return issuer if isinstance(issuer, str) else ""


class _Together:
    """The state of all trusts as one, for health checks."""

    refresher = None

    def __init__(self, trusts: Sequence[Trust]) -> None:
        self._trusts = trusts

    @property
    def held(self) -> Held | None:
        """What is held by the trust that expires first, None while one holds nothing."""
        every = [trust.held for trust in self._trusts]
        held = [one for one in every if one is not None]
        return min(held, key=lambda one: one.fresh_until) if len(held) == len(every) else None

    @property
    def last_refusal(self) -> Refused | None:
        """The first refusal among them."""
        return next((trust.last_refusal for trust in self._trusts if trust.last_refusal), None)

    def close(self) -> None:
        """Stop all of them."""
        for trust in self._trusts:
            trust.close()
