"""A throw-away authority, a clock that stands still, and validators over both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from sealwright_validate import Expect, Reason, Refused, Trust, Validator, VerifiedToken
from sealwright_validate.clock import FixedClock
from sealwright_validate.conformance.authority import Issued, ThrowawayAuthority
from sealwright_validate.conformance.server import LoopbackServer, Served
from sealwright_validate.trust import FedTrust
from validate_support.sidecar import Sidecar, running_sidecar

NOW = 1_800_000_000.0
MAIL = "https://mail.example"


@dataclass
class World:
    """An authority and a validator that trusts it, both at the same moment."""

    authority: ThrowawayAuthority
    clock: FixedClock
    trust: FedTrust
    validator: Validator
    key: Issued

    def publish(self) -> None:
        self.trust.feed(self.authority.publish())

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everyone, with a fresh manifest at its end."""
        self.clock.advance(seconds)
        self.authority.now += int(seconds)
        self.publish()

    def validate(self, token: str, *, realm: str = "enterprise", audience: str = MAIL) -> VerifiedToken:
        return self.validator.validate(token, Expect(audience=audience, realm=realm))

    def reason(self, token: str, expect: Expect | None = None) -> Reason:
        with pytest.raises(Refused) as caught:
            self.validator.validate(token, expect or Expect(audience=MAIL, realm="enterprise"))
        return caught.value.reason


def make_world(*, algorithm: str = "ES256", skew: float = 5.0) -> World:
    clock = FixedClock(NOW)
    authority = ThrowawayAuthority(NOW)
    key = authority.make_key(algorithm=algorithm)
    trust = Trust.fed(root=authority.roots[0], clock=clock)
    trust.feed(authority.served())
    return World(authority, clock, trust, Validator(trust=trust, skew=skew), key)


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def new_world() -> Callable[..., World]:
    return make_world


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    pytest_socket = pytest.importorskip("pytest_socket")
    pytest_socket.enable_socket()
    with running_sidecar(tmp_path_factory.mktemp("sidecar")) as running:
        yield running


@pytest.fixture
def served(socket_enabled: None) -> Iterator[tuple[Served, str]]:
    """A server on loopback and its address."""
    with LoopbackServer(Served()) as server:
        yield server.served, server.url
