"""What the keeper refuses of a token, shown on tokens that misbehave as SoftHSM2 does not."""

from collections.abc import Iterator
from typing import Any

import pytest

from sealwright_signer import jws
from sealwright_signer.custody.keeper.serve import described
from sealwright_signer.custody.keeper.settings import Settings, Unusable
from signer_support.softhsm import module


class Part:
    """A key object of a token: attributes, and whether it was destroyed."""

    def __init__(self, attributes: dict[Any, Any]) -> None:
        self.attributes, self.destroyed = attributes, False

    def __getitem__(self, name: Any) -> Any:
        return self.attributes[name]

    def destroy(self) -> None:
        self.destroyed = True


class Bad:
    """A token, its slot and its session in one, that makes the key pair it was given."""

    def __init__(self, flags: Any, pair: tuple[Part, Part] | None = None) -> None:
        self.flags, self.pair, self.opened, self.slot = flags, pair, 0, self

    def get_mechanisms(self) -> list[Any]:
        return []

    def open(self, **_: Any) -> "Bad":
        self.opened += 1
        return self

    def get_objects(self, _: Any) -> Iterator[Part]:
        return iter(())

    def create_domain_parameters(self, *_: Any, **__: Any) -> "Bad":
        return self

    def generate_keypair(self, **_: Any) -> tuple[Part, Part]:
        assert self.pair
        return self.pair


def token_on(bad: Bad, monkeypatch: pytest.MonkeyPatch) -> Any:
    from sealwright_signer.custody.keeper import token

    monkeypatch.setattr(token, "load", lambda _: None)
    monkeypatch.setattr(token, "_find", lambda *_: bad)
    settings = Settings("/m", "t", "/pin", "session", "label", 1, 10, [], network=False, environment={})
    return token.Token(settings, "1234", ())


@pytest.fixture(autouse=True)
def installed() -> None:
    module()  # skips where python-pkcs11 is absent


@pytest.mark.parametrize("flag", ["USER_PIN_FINAL_TRY", "USER_PIN_LOCKED"])
def test_no_pin_is_tried_where_it_could_be_the_last_time(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pkcs11 import TokenFlag

    bad = Bad(TokenFlag[flag])
    with pytest.raises(Unusable, match="log in by hand"):
        token_on(bad, monkeypatch)
    assert bad.opened == 0


@pytest.mark.parametrize(
    "lacks", ["PRIVATE", "SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "EXTRACTABLE"]
)
def test_a_key_that_could_come_out_or_came_in_is_destroyed_and_not_used(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pkcs11 import Attribute, TokenFlag

    from sealwright_signer.custody.keeper.token import PROVEN

    held = {**PROVEN, Attribute[lacks]: not PROVEN[Attribute[lacks]]}
    public, private = Part({Attribute.EC_POINT: b"\x04\x41\x04" + bytes(64)}), Part(held)
    opened = token_on(Bad(TokenFlag(0), (public, private)), monkeypatch)
    with pytest.raises(Unusable, match="not held to stay inside"):
        opened.generate("ES256")
    assert private.destroyed
    assert public.destroyed
    with pytest.raises(KeyError):
        opened.sign([(1, bytes(32))])


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_point_is_read_as_an_octet_string_and_bare(wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from pkcs11 import Attribute, TokenFlag

    from sealwright_signer.custody.keeper.token import PROVEN

    point = b"\x04" + bytes(range(64))
    public = Part({Attribute.EC_POINT: b"\x04\x41" + point if wrapped else point})
    opened = token_on(Bad(TokenFlag(0), (public, Part(dict(PROVEN)))), monkeypatch)
    _, jwk = opened.generate("ES256")
    assert jws.unb64u(jwk["x"]) + jws.unb64u(jwk["y"]) == point[1:]


def test_an_error_is_told_by_what_can_be_done_and_never_by_its_values() -> None:
    from pkcs11.exceptions import FunctionFailed, PinIncorrect

    assert described(PinIncorrect("1234")).endswith("(PinIncorrect)")
    assert "1234" not in described(PinIncorrect("1234"))
    assert described(FunctionFailed("secret")) == "FunctionFailed"
