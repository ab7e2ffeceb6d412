"""Bound tokens are accepted from whoever holds the key, and from nobody else; nothing falls back to
bearer.
"""

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from sealwright_validate import (
    Expect,
    Misconfigured,
    Possession,
    Presented,
    Reason,
    Refused,
    Unavailable,
    Validator,
)
from sealwright_validate.conformance.keys import SigningKey, jws, make_key
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.nonces import Nonces
from sealwright_validate.possession import certificate_from_header
from sealwright_validate.replay import MemoryReplayStore, ReplayStore
from sealwright_validate.uri import normalise, same_resource

MAIL = "https://mail.example"
URI = "https://mail.example/inbox"
EXPECT = Expect(audience=MAIL, realm="enterprise")
CERTIFICATE = b"the DER of a certificate"
World = Any
Members = dict[str, Any]


class Client:
    """A client with a key, and a token that is bound to it."""

    def __init__(self, world: World, algorithm: str = "ES256") -> None:
        self.key = make_key(algorithm)
        self.world = world
        self.token = str(world.authority.token(world.key, cnf={"jkt": self.key.kid}))
        self.count = 0

    def header(self, **changed: Any) -> Members:
        bare = {name: value for name, value in self.key.jwk.items() if name not in ("kid", "use", "alg")}
        header = {"typ": "dpop+jwt", "alg": self.key.algorithm, "jwk": bare, **changed}
        return {name: value for name, value in header.items() if value is not None}

    def claims(self, **changed: Any) -> Members:
        self.count += 1
        claims = {
            "jti": f"proof-{self.count}",
            "htm": "GET",
            "htu": URI,
            "iat": self.world.clock.wall(),
            "ath": encode_base64url(sha256(self.token.encode()).digest()),
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def proof(
        self, header: Members | None = None, claims: Members | None = None, key: SigningKey | None = None
    ) -> str:
        return jws(key or self.key, header or self.header(), claims or self.claims())

    def present(self, *proofs: str, **changed: Any) -> Presented:
        return Presented(**{"scheme": "DPoP", "method": "GET", "uri": URI, "proofs": proofs, **changed})


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def reason(client: Client, presented: Presented, expect: Expect = EXPECT, token: str | None = None) -> Reason:
    with pytest.raises(Refused) as caught:
        client.world.validator.validate(token or client.token, expect, presented)
    return caught.value.reason


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "RS256", "PS256"])
def test_a_bound_token_with_its_proof_is_accepted_each_time_with_a_new_one(
    world: World, algorithm: str
) -> None:
    client = Client(world, algorithm)
    for _ in range(3):
        assert (
            world.validator.validate(client.token, EXPECT, client.present(client.proof())).kid
            == world.key.kid
        )


def test_a_bound_token_is_never_a_bearer_token(client: Client) -> None:
    assert reason(client, Presented()) is Reason.PROOF_MISSING
    assert client.world.validator.validate(client.token, EXPECT, client.present(client.proof()))
    assert reason(client, Presented()) is Reason.PROOF_MISSING, "a remembered token needs its proof as well"
    assert reason(client, client.present()) is Reason.PROOF_MISSING
    assert reason(client, client.present(client.proof(), scheme="Bearer")) is Reason.PROOF_MISSING


def test_a_proof_is_used_once(client: Client) -> None:
    proof = client.proof()
    assert client.world.validator.validate(client.token, EXPECT, client.present(proof))
    assert reason(client, client.present(proof)) is Reason.PROOF_REPLAYED


def test_two_proofs_in_one_request_are_refused(client: Client) -> None:
    assert reason(client, client.present(client.proof(), client.proof())) is Reason.PROOF_INVALID


BAD_HEADERS: list[Members] = [
    {"typ": "JWT"},
    {"typ": None},
    {"alg": "none"},
    {"alg": "HS256"},
    {"alg": "RS256"},
    {"alg": None},
    {"jwk": None},
    {"jwk": "x"},
    {"jwk": {}},
    {"jwk": {"kty": "oct", "k": "AAAA"}},
    {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
    {"jwk": {"kty": "EC", "crv": "P-256", "x": 7, "y": 7}},
    {"crit": ["exp"]},
    {"jku": "https://attacker.example"},
    {"x5c": []},
]


@pytest.mark.parametrize("changed", BAD_HEADERS, ids=str)
def test_a_proof_with_a_wrong_header_is_refused(client: Client, changed: Members) -> None:
    assert reason(client, client.present(client.proof(client.header(**changed)))) is Reason.PROOF_INVALID


def test_a_private_key_in_a_proof_is_refused(client: Client) -> None:
    bare = {**client.header()["jwk"], "d": "AAAA"}
    assert reason(client, client.present(client.proof(client.header(jwk=bare)))) is Reason.PROOF_INVALID


BAD_CLAIMS: list[Members] = [
    {"htm": "POST"},
    {"htm": "get"},
    {"htm": None},
    {"htu": "https://mail.example/outbox"},
    {"htu": "http://mail.example/inbox"},
    {"htu": "https://mail.example:444/inbox"},
    {"htu": "https://mail.example.attacker.example/inbox"},
    {"htu": "https://mail.example@attacker.example/inbox"},
    {"htu": "/inbox"},
    {"htu": None},
    {"htu": 7},
    {"ath": None},
    {"ath": "AAAA"},
    {"iat": None},
    {"iat": "now"},
    {"iat": True},
    {"iat": 10**300},
    {"jti": None},
    {"jti": ""},
    {"jti": 7},
    {"jti": "x" * 257},
]


@pytest.mark.parametrize("changed", BAD_CLAIMS, ids=str)
def test_a_proof_for_anything_else_is_refused(client: Client, changed: Members) -> None:
    assert (
        reason(client, client.present(client.proof(claims=client.claims(**changed)))) is Reason.PROOF_INVALID
    )


def test_a_proof_is_fresh_for_its_window_only(client: Client) -> None:
    now = client.world.clock.wall()
    for made in (now - 60, now + 60):
        proof = client.proof(claims=client.claims(iat=made))
        assert client.world.validator.validate(client.token, EXPECT, client.present(proof))
    for made in (now - 61, now + 61):
        assert (
            reason(client, client.present(client.proof(claims=client.claims(iat=made))))
            is Reason.PROOF_INVALID
        )


def test_a_proof_of_another_key_is_refused(client: Client) -> None:
    thief = make_key("ES256")
    bare = {name: thief.jwk[name] for name in ("kty", "crv", "x", "y")}
    own_key = client.proof(client.header(jwk=bare), key=thief)
    borrowed_key = client.proof(key=thief)
    for proof in (own_key, borrowed_key):
        assert reason(client, client.present(proof)) is Reason.PROOF_INVALID


def test_a_proof_of_one_token_does_not_serve_for_another(client: Client) -> None:
    proof = client.proof()
    other = str(client.world.authority.token(client.world.key, cnf={"jkt": client.key.kid}))
    assert reason(client, client.present(proof), token=other) is Reason.PROOF_INVALID


def test_every_changed_character_of_a_proof_is_refused(client: Client) -> None:
    good = client.proof()
    for position in range(0, len(good), 5):
        changed = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1 :]
        assert reason(client, client.present(changed)) is Reason.PROOF_INVALID
    assert client.world.validator.validate(client.token, EXPECT, client.present(good)), (
        "and it was not used up"
    )


@pytest.mark.parametrize("proof", ["", "a", "a.b.c", "..", "x" * 9000, "é.é.é", '{"a":1}', "\x00"])
def test_what_is_no_proof_is_refused(client: Client, proof: str) -> None:
    assert reason(client, client.present(proof)) in {Reason.PROOF_INVALID, Reason.PROOF_MISSING}


def test_without_a_configured_address_no_proof_can_be_checked(client: Client) -> None:
    assert reason(client, client.present(client.proof(), uri="")) is Reason.PROOF_INVALID


@pytest.mark.parametrize(
    "cnf",
    [
        {},
        None,
        "x",
        [],
        {"jwk": {}},
        {"kid": "x"},
        {"jkt": 7},
        {"x5t#S256": None},
        {"jkt": "x", "x5t#S256": "y"},
        {"y": 1},
    ],
    ids=str,
)
def test_a_binding_that_is_not_understood_refuses(world: World, cnf: Any) -> None:
    claims = {**world.authority.claims(), "cnf": cnf}
    token = jws(world.key.key, world.authority.header(world.key), claims)
    client = Client(world)
    for presented in (Presented(), client.present(client.proof()), Presented(certificate=CERTIFICATE)):
        assert reason(client, presented, token=token) is Reason.BINDING_NOT_UNDERSTOOD


def test_an_unbound_token_is_refused_where_a_bound_one_is_demanded_or_claimed(client: Client) -> None:
    plain = client.world.authority.token(client.world.key)
    demanding = Expect(audience=MAIL, realm="enterprise", possession=("dpop", "mtls"))
    assert client.world.validator.validate(plain, EXPECT)
    assert reason(client, Presented(), demanding, plain) is Reason.BINDING_MISSING
    assert reason(client, client.present(client.proof()), EXPECT, plain) is Reason.BINDING_MISSING
    only_mtls = Expect(audience=MAIL, realm="enterprise", possession="mtls")
    assert reason(client, client.present(client.proof()), only_mtls) is Reason.BINDING_MISSING
    with pytest.raises(Misconfigured):
        Expect(audience=MAIL, possession="bearer")


def with_possession(world: World, possession: Possession) -> Validator:
    return Validator(trust=world.trust, possession=possession)


def test_nonces_are_demanded_and_those_of_this_and_the_last_period_accepted(client: Client) -> None:
    nonces, clock = Nonces(b"s" * 32), client.world.clock
    validator = client.world.validator = with_possession(client.world, Possession(nonces=nonces))
    assert reason(client, client.present(client.proof())) is Reason.PROOF_NONCE_REQUIRED
    nonce = validator.dpop_nonce()
    for _ in range(2):
        proof = client.proof(claims=client.claims(nonce=nonce))
        assert validator.validate(client.token, EXPECT, client.present(proof))
        client.world.pass_time(59)
    client.world.pass_time(10)
    assert reason(client, client.present(client.proof(claims=client.claims(nonce=nonce)))) is (
        Reason.PROOF_NONCE_REQUIRED
    )
    assert not nonces.is_ours("é", clock.wall())
    assert Nonces().current(0) != Nonces().current(0), (
        "another process has other nonces unless they share the secret"
    )
    for lax in (lambda: Nonces(b"short"), lambda: Nonces(period=0), lambda: Possession(window=301)):
        with pytest.raises(Misconfigured):
            lax()


class FullStore:
    """A replay store that cannot remember one more."""

    def first_use(self, name: bytes, now: float, until: float) -> bool:
        raise Unavailable("full")


def test_when_a_replay_cannot_be_ruled_out_the_proof_is_refused(client: Client) -> None:
    client.world.validator = with_possession(client.world, Possession(replays=FullStore()))
    assert reason(client, client.present(client.proof())) is Reason.PROOF_UNCERTAIN


@pytest.mark.parametrize("make", [MemoryReplayStore], ids=["memory"])
def test_a_replay_store_remembers_for_as_long_as_it_must(make: Callable[..., ReplayStore]) -> None:
    store = make(max_proofs=2)
    first, second, third = b"1" * 32, b"2" * 32, b"3" * 32
    assert store.first_use(first, 0, 10)
    assert store.first_use(second, 1, 11)
    assert not store.first_use(first, 10, 20)
    with pytest.raises(Unavailable):
        store.first_use(third, 10, 20)
    assert store.first_use(third, 10.5, 20.5)
    assert store.first_use(first, 11.5, 21)


def bound_to_certificate(world: World, certificate: bytes = CERTIFICATE) -> str:
    thumbprint = encode_base64url(sha256(certificate).digest())
    return str(world.authority.token(world.key, cnf={"x5t#S256": thumbprint}))


def test_a_certificate_bound_token_needs_its_certificate(client: Client) -> None:
    token = bound_to_certificate(client.world)
    assert client.world.validator.validate(token, EXPECT, Presented(certificate=CERTIFICATE))
    assert reason(client, Presented(), token=token) is Reason.CERTIFICATE_MISSING
    assert reason(client, Presented(certificate=b"another"), token=token) is Reason.CERTIFICATE_MISMATCH
    only_dpop = Expect(audience=MAIL, realm="enterprise", possession="dpop")
    assert reason(client, Presented(certificate=CERTIFICATE), only_dpop, token) is Reason.BINDING_MISSING


def test_a_certificate_is_read_from_what_proxies_hand_on() -> None:
    body = b64encode(CERTIFICATE).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body[:8]}\n{body[8:]}\n-----END CERTIFICATE-----\n"
    for header in (f":{body}:", quote(pem), pem.replace("\n", " "), pem.replace("\n", "\n\t")):
        assert certificate_from_header(header) == CERTIFICATE
    for bad in ("", "x", ":?:", ":é:", "-----BEGIN CERTIFICATE-----", quote(pem)[:60], "x" * 20_000):
        with pytest.raises(Refused):
            certificate_from_header(bad)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://a.example/x", "HTTPS://A.EXAMPLE:443/x?q=1#f"),
        ("https://a.example", "https://a.example/"),
        ("https://a.example/%7Eu/%2f", "https://a.example/~u/%2F"),
        ("https://a.example/a/./b/../c", "https://a.example/a/c"),
        ("http://[::1]:80/", "http://[::1]/"),
    ],
)
def test_addresses_are_compared_by_what_they_name(first: str, second: str) -> None:
    assert same_resource(first, second)
    assert normalise(first) == normalise(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://a.example/x", "http://a.example/x"),
        ("https://a.example/x", "https://a.example/X"),
        ("https://a.example/x", "https://a.example/x/"),
        ("https://a.example/a%2Fb", "https://a.example/a/b"),
        ("https://a.example:8443/", "https://a.example/"),
    ],
)
def test_addresses_that_differ_are_not_taken_for_the_same(first: str, second: str) -> None:
    assert not same_resource(first, second)


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "x",
        "//a/",
        "ftp://a/",
        "https:///x",
        "https://u@a/",
        "https://a:99999/",
        "https://a/%zz",
        "https://a\\@b/",
        "https://a /",
    ],
)
def test_what_is_no_plain_address_names_nothing(odd: str) -> None:
    assert normalise(odd) is None
    assert not same_resource(odd, odd)
