"""The validator against a real HTTP server on loopback: pulls, pushes, outages, unknown keys, strict mode,
reports.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sealwright_validate import Expect, Misconfigured, Reason, Refused, Report, Trust, Validator
from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.authority import ThrowawayAuthority
from sealwright_validate.conformance.keys import jws
from sealwright_validate.conformance.server import LoopbackServer, Served
from sealwright_validate.tally import Observation

EXPECT = Expect(audience="https://mail.example", realm="enterprise")
CREDENTIALS = ("mail-api", "made-up-secret")

pytestmark = pytest.mark.enable_socket


def until(holds: Callable[[], Any], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


class Site:
    """A served authority and a validator that fetches from it."""

    def __init__(self, url: str, served: Served) -> None:
        self.authority = ThrowawayAuthority(SYSTEM_CLOCK.wall(), url)
        self.served = served
        self.url = url
        self.key = self.authority.make_key()
        served.roots = self.authority.roots
        served.manifest = self.authority.served(life=600)
        served.credentials = CREDENTIALS
        self.validators: list[Validator] = []

    def validator(self, **options: Any) -> Validator:
        trust = {name: options.pop(name) for name in ("push", "state_file") if name in options}
        made = Validator(trust=Trust.sealwright(self.url, root=self.authority.roots[0], **trust), **options)
        self.validators.append(made)
        return made

    def report(self, **options: Any) -> Report:
        return Report(*CREDENTIALS, name="mail-api", **options)


@contextmanager
def site_up() -> Iterator[Site]:
    with LoopbackServer(Served()) as server:
        site = Site(server.url, server.served)
        try:
            yield site
        finally:
            for validator in site.validators:
                validator.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with site_up() as up:
        yield up


def refusal_of(validator: Validator, token: str) -> Reason:
    with pytest.raises(Refused) as caught:
        validator.validate(token, EXPECT)
    return caught.value.reason


def test_the_first_token_waits_for_the_first_keys(site: Site) -> None:
    validator = site.validator()
    assert validator.validate(site.authority.token(site.key), EXPECT).realm == "enterprise"
    assert validator.health().ready


def test_without_an_authority_every_token_is_refused_at_once(site: Site) -> None:
    site.served.down = True
    validator = site.validator(push=False)
    assert refusal_of(validator, site.authority.token(site.key)) is Reason.KEYS_UNAVAILABLE
    site.served.down = False
    until(lambda: validator.health().ready)
    assert validator.validate(site.authority.token(site.key), EXPECT)


def test_a_pushed_revocation_reaches_every_validator_without_a_pull(site: Site) -> None:
    validators = [site.validator() for _ in range(5)]
    token = site.authority.token(site.key)
    for validator in validators:
        validator.validate(token, EXPECT)
    until(lambda: site.served.listening == 5)
    pulls = site.served.requests["/manifest"]
    site.authority.revoke(site.key)
    site.served.push(site.authority.publish(life=600))
    until(lambda: {one.health().manifest_version for one in validators} == {site.authority.version})
    for validator in validators:
        assert refusal_of(validator, token) is Reason.KEY_REVOKED
    assert site.served.requests["/manifest"] == pulls


def test_an_outage_keeps_the_last_keys_until_they_expire_and_no_longer(site: Site) -> None:
    site.authority.now = int(SYSTEM_CLOCK.wall())
    site.served.manifest = site.authority.served(life=3)
    validator = site.validator(push=False)
    token = site.authority.token(site.key)
    assert validator.validate(token, EXPECT)
    site.served.down = True
    assert validator.validate(token, EXPECT)
    until(lambda: not validator.health().ready)
    assert refusal_of(validator, token) is Reason.MANIFEST_STALE


def test_a_manifest_is_pulled_again_before_it_expires(site: Site) -> None:
    site.served.manifest = site.authority.publish(life=4)
    validator = site.validator(push=False)
    validator.start()
    site.authority.now = int(SYSTEM_CLOCK.wall())
    site.served.manifest = site.authority.publish(life=600)
    until(lambda: validator.health().manifest_version == site.authority.version)


def test_an_old_manifest_played_back_is_refused_and_the_newer_one_kept(site: Site) -> None:
    old = site.authority.served(life=600)
    site.served.manifest = site.authority.publish(life=600)
    validator = site.validator()
    validator.start()
    until(lambda: site.served.listening)
    site.served.push(old)
    until(lambda: validator.health().last_refusal == "manifest_rolled_back")
    assert validator.health().manifest_version == site.authority.version
    assert validator.validate(site.authority.token(site.key), EXPECT)


def test_a_rotated_root_is_followed(site: Site) -> None:
    validator = site.validator()
    validator.start()
    for _ in range(3):
        site.authority.rotate_root()
    until(lambda: site.served.listening)
    site.served.push(site.authority.publish(life=600))
    until(lambda: validator.health().manifest_version == site.authority.version)


def test_an_unknown_key_is_asked_for_once_and_then_known(site: Site) -> None:
    validator = site.validator(push=False)
    validator.start()
    fresh = site.authority.make_key()
    site.served.manifest = site.authority.publish(life=600)
    assert validator.validate(site.authority.token(fresh), EXPECT)


def test_an_unknown_key_is_learnt_without_blocking_the_event_loop(site: Site) -> None:
    validator = site.validator(push=False)
    validator.start()
    fresh = site.authority.make_key()
    site.served.manifest = site.authority.publish(life=600)
    token = asyncio.run(validator.validate_async(site.authority.token(fresh), EXPECT))
    assert token.kid == fresh.kid


def test_a_flood_of_unknown_keys_is_no_flood_of_requests(site: Site) -> None:
    validator = site.validator(push=False)
    validator.start()
    before, began = site.served.requests["/manifest"], time.monotonic()
    for number in range(500):
        header = site.authority.header(site.key, kid=f"kid-{number}")
        assert refusal_of(validator, jws(site.key.key, header, site.authority.claims())) is Reason.UNKNOWN_KEY
    asked = site.served.requests["/manifest"] - before
    assert asked <= 1 + (time.monotonic() - began) / 0.9


def test_while_requests_fail_nobody_waits_for_an_unknown_key(site: Site) -> None:
    validator = site.validator(push=False)
    validator.start()
    site.served.down = True
    header = site.authority.header(site.key, kid="first")
    assert refusal_of(validator, jws(site.key.key, header, site.authority.claims())) is Reason.UNKNOWN_KEY
    assert not validator.trust.may_learn("second")
    site.served.down = False
    until(lambda: validator.trust.may_learn("second"))


def test_strict_mode_accepts_only_what_the_ledger_says_was_issued(site: Site) -> None:
    issued: dict[str, str] = {}

    def check(question: dict[str, str]) -> tuple[int, bytes]:
        if question["jti"] not in issued:
            return 200, b'{"issued":false,"reason":"unknown_place"}'
        same = issued[question["jti"]] == question["digest"]
        return 200, b'{"issued":true}' if same else b'{"issued":false,"reason":"digest_mismatch"}'

    site.served.check = check
    validator = site.validator(mode="strict", push=False)
    good = site.authority.token(site.key, jti=(place := site.authority.place()))
    issued[place] = sha256(good.rpartition(".")[0].encode()).hexdigest()
    assert validator.validate(good, EXPECT)
    assert refusal_of(validator, site.authority.token(site.key)) is Reason.NEVER_ISSUED
    assert refusal_of(validator, site.authority.token(site.key, jti=place, sub="ceo")) is Reason.NEVER_ISSUED
    site.served.check = lambda _: (200, b'{"issued":false,"reason":"revoked"}')
    assert refusal_of(validator, good) is Reason.TOKEN_REVOKED
    with pytest.raises(Refused):
        asyncio.run(validator.validate_async(good, EXPECT))


@pytest.mark.parametrize(
    "answer", [(503, b"{}"), (200, b"{}"), (200, b"no"), (200, b'{"issued":1}'), (404, b'{"issued":true}')]
)
def test_strict_mode_refuses_when_the_ledger_gives_no_clear_answer(
    site: Site, answer: tuple[int, bytes]
) -> None:
    site.served.check = lambda _: answer
    validator = site.validator(mode="strict", push=False)
    assert refusal_of(validator, site.authority.token(site.key)) is Reason.LEDGER_UNAVAILABLE


def test_a_strict_realm_is_asked_for_whatever_the_mode(site: Site) -> None:
    site.authority.strict_realms.append("enterprise")
    site.served.manifest = site.authority.publish(life=600)
    site.served.check = lambda _: (200, b'{"issued":false,"reason":"unknown_place"}')
    validator = site.validator(push=False)
    assert refusal_of(validator, site.authority.token(site.key)) is Reason.NEVER_ISSUED


def test_what_is_validated_is_reported_with_digests_only(site: Site) -> None:
    validator = site.validator(report=site.report())
    token = site.authority.token(site.key, sub="alice@example.org")
    validator.validate(token, EXPECT)
    validator.validate(token, EXPECT)
    assert refusal_of(validator, site.authority.token(site.key, exp=site.authority.now - 60, iat=1))
    until(lambda: len(site.served.observations) >= 2)
    accepted, refused = site.served.observations
    assert (accepted["verdict"], accepted["signature"]) == ("accepted", "valid")
    assert accepted["digest"] == sha256(token.rpartition(".")[0].encode()).hexdigest()
    assert accepted["sub_digest"] == sha256(b"alice@example.org").hexdigest()
    assert accepted["aud"] == ["https://mail.example"]
    assert refused["verdict"] != "accepted"
    about = site.served.validators[-1]
    assert (about["name"], about["mode"], about["manifest_version"]) == (
        "mail-api",
        "async",
        site.authority.version,
    )
    assert "alice@example.org" not in str(site.served.observations)
    assert token.rpartition(".")[2] not in str(site.served.observations)
    until(lambda: validator.health().observations.sent == 2)


def test_a_forgery_with_an_unknown_key_is_reported_as_unverified(site: Site) -> None:
    validator = site.validator(report=site.report(), push=False)
    validator.start()
    header = site.authority.header(site.key, kid="stranger")
    refusal_of(validator, jws(site.key.key, header, site.authority.claims()))
    until(lambda: site.served.observations)
    seen = site.served.observations[0]
    assert (seen["verdict"], seen["signature"], seen["kid"]) == ("unknown_key", "unverified", "stranger")
    assert seen["iss"] is None, "an unverified claim is nobody's word"


def test_one_token_that_is_refused_again_and_again_is_reported_once_a_minute(site: Site) -> None:
    trust = Trust.sealwright(site.url, root=site.authority.roots[0], push=False)
    observer = site.report().observer(trust, mode="async", describe=dict)
    now = SYSTEM_CLOCK.wall()

    def refused(at: float, token: bytes = b"a", verdict: str = "token_expired") -> Observation:
        return Observation(at, verdict, True, token * 32, "kid", {})

    for seen in (
        *[refused(now + second) for second in range(60)],  # one
        refused(now + 1, verdict="audience_not_allowed"),  # another reason
        refused(now + 1, token=b"b"),  # another token
        refused(now + 60),  # a minute later
        refused(now - 5),  # a clock that was set back silences nobody
        *[Observation(now, "accepted", True, b"a" * 32, "kid", {}) for _ in range(3)],
    ):
        observer.note(seen)
    until(lambda: observer.tally.sent == 8)
    assert observer.tally.suppressed == 59
    for number in range(5000):
        observer.note(refused(now, token=b"%08d" % number))
    assert len(observer._told) <= 4096
    observer.close()
    trust.close()


@pytest.mark.parametrize("on_disk", [False, True])
def test_observations_survive_an_outage_of_the_authority(site: Site, tmp_path: Path, on_disk: bool) -> None:
    validator = site.validator(report=site.report(spool=tmp_path / "spool" if on_disk else None), push=False)
    validator.start()
    site.served.down = True
    for _ in range(3):
        validator.validate(site.authority.token(site.key), EXPECT)
    until(lambda: site.served.requests.get("/observations", 0) >= 2)
    assert site.served.observations == []
    site.served.down = False
    until(lambda: len(site.served.observations) == 3)
    assert validator.health().observations.dropped == 0


def test_spooled_observations_survive_the_process(site: Site, tmp_path: Path) -> None:
    report = site.report(spool=tmp_path)
    validator = site.validator(report=report, push=False)
    validator.start()
    site.served.down = True
    validator.validate(site.authority.token(site.key), EXPECT)
    until(lambda: list(tmp_path.glob("*.batch")))
    validator.close()
    site.served.down = False
    site.validator(report=report, push=False).start()
    until(lambda: len(site.served.observations) == 1)
    until(lambda: not list(tmp_path.iterdir()))


def test_wrong_credentials_lose_nothing(site: Site) -> None:
    validator = site.validator(report=Report("mail-api", "wrong", name="x"), push=False)
    validator.validate(site.authority.token(site.key), EXPECT)
    until(lambda: site.served.requests.get("/observations", 0) >= 2)
    assert site.served.observations == []
    assert validator.health().observations.sent == 0


def test_a_secret_is_not_sent_in_clear_to_another_machine(site: Site) -> None:
    report = Report(*CREDENTIALS, url="http://authority.example")
    with pytest.raises(Misconfigured, match="plain http"):
        site.validator(report=report)
    assert "made-up-secret" not in repr(report)
