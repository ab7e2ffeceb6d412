"""Several issuers behind one validator: the issuer chooses who judges, and nobody else does."""

from typing import Any

import pytest

from sealwright_validate import Expect, Misconfigured, Reason, Refused, Trust, Validator
from sealwright_validate.clock import FixedClock
from sealwright_validate.conformance.authority import ThrowawayAuthority
from sealwright_validate.trust import FedTrust

NOW = 1_800_000_000
EXPECT = Expect(audience="https://mail.example", realm="enterprise")


class Two:
    """Two Sealwrights, trusted together."""

    def __init__(self) -> None:
        self.clock = FixedClock(NOW)
        self.authorities = [ThrowawayAuthority(NOW, f"http://127.0.0.1:{port}") for port in (1, 2)]
        self.keys = [authority.make_key() for authority in self.authorities]
        self.trusts: list[FedTrust] = []
        for authority in self.authorities:
            trust = Trust.fed(root=authority.roots[0], clock=self.clock)
            trust.feed(authority.served())
            self.trusts.append(trust)
        self.validator = Validator(trust=Trust.any_of(*self.trusts))

    def reason(self, token: str) -> Reason:
        with pytest.raises(Refused) as caught:
            self.validator.validate(token, EXPECT)
        return caught.value.reason


@pytest.fixture
def two() -> Two:
    return Two()


def test_each_issuer_is_accepted_by_its_own_keys(two: Two) -> None:
    for authority, key in zip(two.authorities, two.keys, strict=True):
        token = authority.token(key)
        first = two.validator.validate(token, EXPECT)
        assert first.issuer == f"{authority.url}/enterprise"
        assert two.validator.validate(token, EXPECT) is first


def test_a_key_of_one_does_not_speak_for_the_other(two: Two) -> None:
    forged = two.authorities[0].token(two.keys[0], iss=f"{two.authorities[1].url}/enterprise")
    assert two.reason(forged) is Reason.UNKNOWN_KEY
    stranger = two.authorities[0].token(two.keys[0], iss="https://nobody.example")
    assert two.reason(stranger) is Reason.ISSUER_NOT_ALLOWED


def test_a_key_that_both_publish_is_refused_under_both(two: Two) -> None:
    entry = two.keys[0].entry | {
        "issuer": f"{two.authorities[1].url}/enterprise",
        "incarnation": two.authorities[1].incarnation.log_id,
    }
    two.authorities[1].keys.append(type(two.keys[0])(two.keys[0].key, entry))
    two.trusts[1].feed(two.authorities[1].publish())
    assert two.reason(two.authorities[0].token(two.keys[0])) is Reason.KEY_SHARED
    assert two.reason(two.authorities[1].token(two.keys[0])) is Reason.KEY_SHARED
    assert two.validator.validate(two.authorities[1].token(two.keys[1]), EXPECT)


def test_one_that_is_stale_does_not_stop_the_other(two: Two) -> None:
    two.clock.advance(61)
    for authority in two.authorities:
        authority.now += 61
    two.trusts[1].feed(two.authorities[1].publish())
    assert two.reason(two.authorities[0].token(two.keys[0])) is Reason.MANIFEST_STALE
    assert two.validator.validate(two.authorities[1].token(two.keys[1]), EXPECT)
    assert not two.validator.health().ready


def test_what_is_no_token_is_refused_by_the_first(two: Two) -> None:
    for text in ("", "a.b.c", "x" * 20_000):
        assert two.reason(text) in {Reason.TOKEN_MISSING, Reason.TOKEN_MALFORMED, Reason.TOKEN_TOO_LARGE}


def test_several_means_several(two: Two) -> None:
    senseless: list[list[Any]] = [[], [two.trusts[0]], [Trust.any_of(*two.trusts), two.trusts[0]]]
    for trusts in senseless:
        with pytest.raises(Misconfigured):
            Trust.any_of(*trusts)
