"""One suite for every custody: memory, and a PKCS#11 token whose keys die with the session or are stored."""

import os
import signal
import struct
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from sealwright_signer import jws
from sealwright_signer.custody import Custody, CustodyLost, for_policy
from sealwright_signer.custody.pkcs11 import Pkcs11Custody
from sealwright_signer.protocol import Misconfigured, Refused
from signer_support.softhsm import LABEL, SoftHsm, make_token

KINDS = ("memory", "session", "token")
Opener = Callable[..., Pkcs11Custody]
pytestmark = pytest.mark.enable_socket  # a keeper tries whether it can open one


def signed(custody: Custody, wanted: Iterable[tuple[Any, bytes]]) -> list[bytes]:
    return custody.sign([(handle, message, sha256(message).digest()) for handle, message in wanted])


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return make_token(tmp_path / "hsm")


def end(custody: Pkcs11Custody) -> None:
    custody._keeper.close()
    os.waitpid(custody.pid, 0)


@pytest.fixture
def opened(hsm: SoftHsm) -> Iterator[Opener]:
    """Opens custodies on the token; their keepers end with the test."""
    started = list[Pkcs11Custody]()

    def open_custody(algorithms: tuple[str, ...] = (), **changed: Any) -> Pkcs11Custody:
        custody = for_policy(hsm.custody(**changed), algorithms)
        assert isinstance(custody, Pkcs11Custody)
        started.append(custody)
        return custody

    yield open_custody
    for custody in started:
        if custody._keeper.fileno() >= 0:
            end(custody)


@pytest.fixture(params=KINDS)
def custody(request: pytest.FixtureRequest) -> Custody:
    if request.param == "memory":
        return for_policy({"kind": "memory"})
    open_custody: Opener = request.getfixturevalue("opened")
    return open_custody(objects=request.param)


@pytest.mark.parametrize("alg", jws.ALGORITHMS)
def test_what_it_signs_verifies_under_the_key_that_it_names(custody: Custody, alg: str) -> None:
    handle = custody.generate(alg)
    verify = jws.verifier(custody.public_jwk(handle), alg)
    messages = [os.urandom(size) for size in (0, 1, 31, 32, 33, 5_000)]
    for message, signature in zip(messages, signed(custody, [(handle, m) for m in messages]), strict=True):
        verify(signature, message)
        with pytest.raises(InvalidSignature):
            verify(signature, message + b"!")


def test_a_batch_of_several_keys_comes_back_in_its_order(custody: Custody) -> None:
    algorithms = ("ES256", "EdDSA", "ES256")
    handles = [custody.generate(alg) for alg in algorithms]
    keys = [jws.verifier(custody.public_jwk(h), alg) for h, alg in zip(handles, algorithms, strict=True)]
    wanted = [(n % 3, sha256(struct.pack("I", n)).digest()) for n in range(97)]
    signatures = signed(custody, [(handles[which], message) for which, message in wanted])
    assert len(signatures) == len(wanted)
    for (which, message), signature in zip(wanted, signatures, strict=True):
        keys[which](signature, message)


def test_every_key_is_new(custody: Custody) -> None:
    handles = [custody.generate("ES256") for _ in range(3)]
    assert len({custody.public_jwk(handle)["x"] for handle in handles}) == 3
    assert len(set(handles)) == 3


def test_a_destroyed_key_signs_nothing_and_takes_its_batch_with_it(custody: Custody) -> None:
    dead, alive = custody.generate("ES256"), custody.generate("ES256")
    custody.destroy(dead)
    for wanted in ([(dead, b"m")], [(alive, b"m"), (dead, b"m")]):
        with pytest.raises(KeyError):
            signed(custody, wanted)
    with pytest.raises(KeyError):
        custody.public_jwk(dead)
    with pytest.raises(KeyError):
        custody.destroy(dead)
    assert len(signed(custody, [(alive, b"m")])) == 1


def test_the_public_key_has_its_required_members_only(custody: Custody) -> None:
    assert custody.public_jwk(custody.generate("ES256")).keys() == {"crv", "kty", "x", "y"}
    assert custody.public_jwk(custody.generate("EdDSA")).keys() == {"crv", "kty", "x"}
    rsa = custody.public_jwk(custody.generate("PS256"))
    assert rsa.keys() == {"e", "kty", "n"}
    assert len(jws.unb64u(rsa["n"])) == 256


def test_it_is_there_until_it_is_gone(custody: Custody) -> None:
    custody.generate("ES256")
    custody.require_there()
    if isinstance(custody, Pkcs11Custody):
        os.kill(custody.pid, signal.SIGKILL)
        os.waitid(os.P_PID, custody.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(CustodyLost, match="has ended"):
            custody.require_there()


# What only a token can do, or fail to do.


def test_stored_keys_leave_the_token_when_destroyed_and_session_keys_never_enter_it(
    hsm: SoftHsm, opened: Opener
) -> None:
    passing, stored = opened(), opened(objects="token")
    passing.generate("ES256")
    assert hsm.objects() == 0
    handle = stored.generate("RS256")
    assert hsm.objects() == 1
    stored.destroy(handle)
    assert hsm.objects() == 0


def test_stored_keys_end_with_the_signer_or_else_before_the_next_one_starts(
    hsm: SoftHsm, opened: Opener
) -> None:
    orderly, other = opened(objects="token"), opened(objects="token", label="sealwright signer-1")
    orderly.generate("ES256")
    other.generate("ES256")
    assert hsm.objects() == 2
    end(orderly)
    assert hsm.objects() == 1
    killed = opened(objects="token")
    killed.generate("ES256")
    os.kill(killed.pid, signal.SIGKILL)
    end(killed)
    assert hsm.objects() == 2
    opened(objects="token")
    assert hsm.objects() == 1  # the other signer's


def test_a_wrong_pin_is_told_before_any_key_is_made(hsm: SoftHsm, opened: Opener) -> None:
    (hsm.folder / "pin").write_text("another")
    with pytest.raises(Misconfigured, match=r"the PIN is wrong.*pin_file.*PinIncorrect") as told:
        opened()
    assert "another" not in str(told.value)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"token": "nobody's"}, "no token labelled \"nobody's\"|no token labelled 'nobody"),
        ({"module": "/usr/lib/softhsm/nothing.so"}, "cannot be loaded"),
        ({"pin_file": "/nowhere/pin"}, "cannot be read"),
        ({"objects": "paper"}, 'objects is "session"'),
        ({"sessions": 0}, "sessions is 1 to 64"),
        ({"patience": 601}, "patience 1 to 600"),
        ({"reach": ["tokens"]}, "absolute paths"),
        ({"environment": {"A": 1}}, "texts in reach and environment"),
        ({"leak": True}, "exactly the members"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_token_that_cannot_be_used_is_refused_with_the_reason(
    opened: Opener, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Misconfigured, match=reason):
        opened(**changed)


def test_a_pin_that_others_can_read_is_refused(hsm: SoftHsm, opened: Opener) -> None:
    (hsm.folder / "pin").chmod(0o640)
    with pytest.raises(Misconfigured, match="only its owner can read"):
        opened()


def test_a_lost_token_is_told_and_nothing_is_signed(hsm: SoftHsm, opened: Opener) -> None:
    custody = opened(objects="token")
    handle = custody.generate("ES256")
    signed(custody, [(handle, b"m")])
    for file in hsm.tokens.glob("*/*.object"):
        file.unlink()
    with pytest.raises(CustodyLost, match="token is lost"):
        signed(custody, [(handle, b"m")])


@pytest.mark.parametrize("gone", [signal.SIGKILL, signal.SIGSTOP])
def test_a_token_that_goes_or_hangs_mid_batch_is_told_without_a_hang(opened: Opener, gone: int) -> None:
    custody = opened()
    handle = custody.generate("ES256")
    custody.wait(1)  # instead of the patience that it was opened with
    os.kill(custody.pid, gone)
    with pytest.raises(
        CustodyLost, match="has ended" if gone == signal.SIGKILL else "did not answer in time"
    ):
        signed(custody, [(handle, bytes(32))] * 512)
    os.kill(custody.pid, signal.SIGKILL)


def test_a_failure_of_the_token_refuses_the_whole_batch_and_the_next_one_is_signed(opened: Opener) -> None:
    custody = opened()
    handle = custody.generate("ES256")
    with pytest.raises(Refused) as refused:
        custody.ask({"op": "sign", "wanted": [[handle, "AA=="], [handle + 7, "AA=="]]})
    assert refused.value.code == "custody_unavailable"
    assert len(signed(custody, [(handle, b"m")] * 40)) == 40


def test_the_keeper_is_shut_in_as_far_as_it_says(hsm: SoftHsm, opened: Opener) -> None:
    custody = opened()
    states = {measure["measure"]: measure["state"] for measure in custody.measures}
    assert states["custody_apart"] == "on"
    assert states["custody_seccomp"] == "on"
    assert states["custody_not_dumpable"] == states["custody_no_new_privileges"] == "on"
    status = Path(f"/proc/{custody.pid}/status").read_text()
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    reasons = " ".join(measure["reason"] for measure in custody.measures)
    assert LABEL in reasons
    assert "no network" in reasons


def test_no_algorithm_that_the_token_lacks_is_promised(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pkcs11 import Mechanism

    from sealwright_signer.custody.keeper import token

    monkeypatch.setitem(token.WAYS, "EdDSA", token.Way(Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.SEED_CBC))
    assert opened(("ES256",)).generate("ES256")
    with pytest.raises(Misconfigured, match=r"does not offer EdDSA .*take it out of the realms' algorithms"):
        opened(("ES256", "EdDSA"))
