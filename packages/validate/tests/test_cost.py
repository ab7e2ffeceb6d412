"""Hostile input of 64 KiB is done with in few operations. How long they take is measured in bench/."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from sealwright_validate import Expect, Refused
from sealwright_validate.conformance.keys import jws, make_key
from sealwright_validate.dpop import ProofCase, require_proof
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.issuers import OneIssuer
from sealwright_validate.jwks import open_jwks
from sealwright_validate.replay import MemoryReplayStore

World = Any
SIZE = 64 * 1024
MOST = 400  # calls, of Python and of C: what a good token takes is below 200
NOW = 1_800_000_000.0
TEXTS = {
    "brackets": b"[" * SIZE,
    "a level too deep": b"[" + b",".join([b"[" * 16 + b"]" * 16] * (SIZE // 33)) + b"]",
    "objects in objects": b'{"a":' * (SIZE // 5),
    "digits": b'{"a":' + b"9" * SIZE + b"}",
    "escapes": b'{"a":"' + b"\\u0041" * (SIZE // 6) + b'"}',
    "backslashes": b'{"a":"' + b"\\\\" * (SIZE // 2) + b'"}',
    "no end": b'{"a":"' + b"x" * SIZE,
    "lone surrogates": b'{"a":"' + b"\\ud800" * (SIZE // 6) + b'"}',
    "many members": b"{" + b",".join(b'"%x":0' % number for number in range(SIZE // 8)) + b"}",
    "one member often": b"{" + b",".join([b'"a":0'] * (SIZE // 6)) + b"}",
    "broken UTF-8": b"\xff" * SIZE,
    "white space": b" " * SIZE,
    "quotes": b'"' * SIZE,
    "brackets in texts": b"{" + b'"[{":"{[",' * (SIZE // 10) + b"}",
}


def calls_of(act: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C. Only Refused may come out."""
    counted = 0

    def count(_frame: FrameType, event: str, _of: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        act()
    except Refused:
        pass
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_text_is_done_with_in_few_operations(world: World, text: bytes) -> None:
    expect = Expect(audience="https://mail.example", realm="enterprise")
    part, (header, payload, signature) = encode_base64url(text), world.authority.token(world.key).split(".")
    signed = jws(world.key.key, world.authority.header(world.key), text[:11_000])
    for token in (f"{part}.{payload}.{signature}", f"{header}.{part}.{signature}", part, signed):
        assert calls_of(lambda token=token: world.validator.validate(token, expect)) < MOST  # type: ignore[misc]
    prover = make_key("ES256")
    proof = jws(prover, {"typ": "dpop+jwt", "alg": "ES256", "jwk": dict(prover.jwk)}, text[:5_000])
    for shown in (proof, f"{part}.{payload}.{signature}"):
        where = ("GET", "https://mail.example/")
        case = ProofCase(shown, "token", prover.kid, *where, NOW, 60.0, None, MemoryReplayStore())
        assert calls_of(lambda case=case: require_proof(case)) < MOST  # type: ignore[misc]
    rule = OneIssuer("https://issuer.example")
    for unverified in (text, b'{"keys":[{"kid":"a","kty":' + text + b"}]}"):
        assert calls_of(lambda it=unverified: open_jwks(it, rule, None, now=NOW, lifetime=60)) < MOST  # type: ignore[misc]
        assert calls_of(lambda it=unverified: world.trust.feed(it)) < MOST  # type: ignore[misc]


def test_a_good_token_is_counted_as_it_is(world: World) -> None:
    token = world.authority.token(world.key)
    expect = Expect(audience="https://mail.example", realm="enterprise")
    assert 40 < calls_of(lambda: world.validator.validate(token, expect)) < 200
