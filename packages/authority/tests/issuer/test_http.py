from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright.errors import Refused, Unavailable
from sealwright.ids import secret_digest
from sealwright.issuer.http import MAX_BODY, MAX_FIELDS, TokenEndpoint, _pairs
from sealwright.issuer.model import AuthMethod, Client, ClientKind, RealmPolicy
from sealwright.issuer.service import Issuer

NOW = 1_800_000_000.0
"""After the host's clock: PyJWT reads that one for `exp`."""
SECRET = "s3cret-of-the-app"
ISSUER = "http://127.0.0.1:8420/enterprise"
FORM = "application/x-www-form-urlencoded"
KEY = ec.generate_private_key(ec.SECP256R1())
JWK = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "k1", "alg": "ES256"}
DIGEST = secret_digest(SECRET)
AUDIENCE = ("https://mail.example", "https://files.example")
CLIENTS = {
    client.client_id: client
    for client in (
        Client("app", "enterprise", DIGEST, AUDIENCE, ("mail.read", "mail.send")),
        Client("off", "enterprise", DIGEST, AUDIENCE, enabled=False),
        Client("other", "consumer", DIGEST, AUDIENCE),
        Client("rp", "enterprise", DIGEST, (), kind=ClientKind.REPORTER),
        Client(
            "keyed",
            "enterprise",
            None,
            AUDIENCE,
            auth_method=AuthMethod.PRIVATE_KEY_JWT,
            jwks={"keys": [JWK]},
        ),
    )
}


class StoppedClock:
    def now(self) -> float:
        return NOW


class Once:
    def __init__(self) -> None:
        self.used: set[tuple[str, str]] = set()

    def use_once(self, client_id: str, assertion_id: str, expires_at: int, now: int) -> bool:
        assert expires_at > now
        fresh = (client_id, assertion_id) not in self.used
        self.used.add((client_id, assertion_id))
        return fresh


class FakeSigner:
    """Implements the signing port: echoes what it was asked for, or fails as told."""

    log_id = "aaaaaaaaaaaaaaaa"

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.refusal: dict[str, str] | None = None
        self.batches: list[int] = []
        self.asked: list[Sequence[Any]] = []

    async def sign(
        self, requests: Sequence[Sequence[Any]], records: Sequence[bytes], answered: Callable[[], None]
    ) -> Sequence[tuple[str, int] | dict[str, str]]:
        await asyncio.sleep(0)
        answered()
        assert len(requests) == len(records)
        self.batches.append(len(requests))
        self.asked.extend(requests)
        if self.failure is not None:
            raise self.failure
        return [self.refusal or ("token-of-" + request[3], request[7]) for request in requests]


class Desk:
    """A token endpoint with a fake signer behind it."""

    def __init__(self) -> None:
        self.signer = FakeSigner()
        self.checked: list[str] = []
        self.issuer = Issuer(
            {"enterprise": RealmPolicy("enterprise", ISSUER, 600, 3_600)},
            _Lookup(),
            Once(),
            lambda _realm: (self.signer, "kid"),
            lambda token, _realm, _audience: self.checked.append(token),
            StoppedClock(),
        )
        self.counted: list[tuple[str, str]] = []
        self.endpoint = TokenEndpoint(self.issuer, lambda *told: self.counted.append(told))

    def ask(
        self,
        body: bytes | str = "grant_type=client_credentials",
        *,
        path: str = "/enterprise/oauth2/token",
        method: str = "POST",
        headers: Sequence[tuple[str, str]] | None = None,
    ) -> tuple[int, dict[str, str], Any]:
        return asyncio.run(self.answer(body, path=path, method=method, headers=headers))

    async def answer(
        self, body: bytes | str, *, path: str, method: str, headers: Sequence[tuple[str, str]] | None
    ) -> tuple[int, dict[str, str], Any]:
        raw = body.encode() if isinstance(body, str) else body
        sent = [("content-type", FORM), ("authorization", basic())] if headers is None else headers
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in sent],
        }
        chunks = [raw[i : i + 4_096] for i in range(0, len(raw), 4_096)] or [b""]
        messages = [
            {"type": "http.request", "body": chunk, "more_body": n + 1 < len(chunks)}
            for n, chunk in enumerate(chunks)
        ]
        sent_back: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent_back.append(message)

        await self.endpoint(scope, receive, send)
        start, content = sent_back
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], told, json.loads(content["body"])


class _Lookup:
    def get(self, client_id: str) -> Client | None:
        return CLIENTS.get(client_id)


def basic(client_id: str = "app", secret: str = SECRET) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def assertion(**change: Any) -> str:
    claims = {"iss": "keyed", "sub": "keyed", "aud": ISSUER, "exp": int(NOW) + 60, "jti": "j1"} | change
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, KEY, "ES256", {"kid": "k1"})


def with_assertion(text: str) -> str:
    kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    return f"grant_type=client_credentials&client_assertion_type={kind}&client_assertion={text}"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_client_gets_a_token_that_is_never_cached(desk: Desk) -> None:
    status, headers, body = desk.ask()
    assert (status, headers["cache-control"], headers["pragma"]) == (200, "no-store", "no-cache")
    assert body == {
        "access_token": "token-of-app",
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "mail.read mail.send",
    }
    assert desk.checked == ["token-of-app"]
    assert desk.counted == [("enterprise", "issued")]


def test_a_name_that_is_no_realm_never_becomes_a_label(desk: Desk) -> None:
    desk.ask(path="/made-up/oauth2/token")
    assert desk.counted == [("unknown", "unknown_realm")]


def test_a_secret_in_the_body_works_as_well(desk: Desk) -> None:
    body = f"grant_type=client_credentials&client_id=app&client_secret={SECRET}"
    assert desk.ask(body, headers=[("content-type", FORM)])[0] == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=refresh_token&refresh_token=x", "unsupported_grant_type"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=admin", "invalid_scope"),
        ("grant_type=client_credentials&scope=mail.read%20mail.read", "invalid_scope"),
        ("grant_type=client_credentials&resource=https%3A%2F%2Fevil.example", "invalid_target"),
        ("grant_type=client_credentials&client_id=other", "invalid_client"),
        ("grant_type=client_credentials&client_secret=x", "invalid_request"),
        ("grant_type=client_credentials&%ff=x", "invalid_request"),
        ("grant_type", "invalid_request"),
        (b"\xff\xfe", "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(40)), "invalid_request"),
    ],
)
def test_a_malformed_or_excessive_request_is_an_oauth_error(desk: Desk, body: bytes | str, code: str) -> None:
    status, headers, answer = desk.ask(body)
    assert answer["error"] == code
    assert answer["error_description"]
    assert 400 <= status < 500
    assert headers["cache-control"] == "no-store"
    assert desk.signer.asked == []


@pytest.mark.parametrize(
    "authorization",
    [
        basic("app", "wrong"),
        basic("nobody", SECRET),
        basic("off", SECRET),
        basic("other", SECRET),
        basic("rp", SECRET),
        basic("keyed", ""),
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Bearer token",
        "",
    ],
)
def test_wrong_credentials_are_refused_alike(desk: Desk, authorization: str) -> None:
    headers = [("content-type", FORM), ("authorization", authorization)]
    status, told, answer = desk.ask(headers=headers)
    assert (status, answer["error"]) == (401, "invalid_client")
    assert told["www-authenticate"].startswith("Basic ")
    assert desk.signer.asked == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"path": "/nowhere/oauth2/token"}, 404),
        ({"method": "GET"}, 405),
        ({"headers": [("content-type", "application/json")]}, 415),
        ({"headers": []}, 415),
        ({"headers": [("content-type", FORM), ("content-type", FORM)]}, 415),
        ({"headers": [("content-type", FORM), ("content-length", "99999999")]}, 413),
        ({"headers": [("content-type", FORM), ("content-length", "x")]}, 413),
        ({"headers": [("content-type", FORM), ("authorization", "a"), ("authorization", "b")]}, 400),
    ],
)
def test_what_is_no_token_request_gets_a_clear_4xx(desk: Desk, change: dict[str, Any], status: int) -> None:
    assert desk.ask(**change)[0] == status


def test_a_body_is_bounded_whatever_it_claims(desk: Desk) -> None:
    assert desk.ask(b"a=" + b"b" * MAX_BODY)[0] == 413


def test_no_signer_is_a_503_and_a_refusal_by_the_signer_a_400(desk: Desk) -> None:
    desk.signer.failure = Unavailable("signer_gone", "the signer went away")
    status, headers, answer = desk.ask()
    assert (status, answer["error"], headers["retry-after"]) == (503, "temporarily_unavailable", "1")
    desk.signer.failure = None
    desk.signer.refusal = {"refused": "audience_not_allowed", "message": "no"}
    assert desk.ask()[0] == 400


def test_a_token_that_our_own_validator_refuses_never_leaves() -> None:
    desk = Desk()

    def refuse(_token: str, _realm: str, _audience: str) -> None:
        raise Unavailable("own_token_refused", "the token does not verify")

    desk.issuer._validate = refuse
    assert desk.ask()[0] == 503


def test_an_assertion_is_good_once(desk: Desk) -> None:
    headers = [("content-type", FORM)]
    body = with_assertion(assertion(exp=int(NOW) + 60))
    assert desk.ask(body, headers=headers)[0] == 200
    status, _, answer = desk.ask(body, headers=headers)
    assert (status, answer["error_description"]) == (401, "this assertion was used before")


def test_an_assertion_that_lives_too_long_is_refused(desk: Desk) -> None:
    status, _, answer = desk.ask(
        with_assertion(assertion(exp=int(NOW) + 600)), headers=[("content-type", FORM)]
    )
    assert (status, answer["error_description"]) == (401, "the assertion may live for at most 300 s")


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "app"},
        {"iss": None},
        {"sub": "app"},
        {"aud": "https://elsewhere.example"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"jti": None},
        {"jti": 7},
        {"jti": "x" * 300},
    ],
)
def test_an_assertion_with_a_wrong_claim_is_refused(desk: Desk, change: dict[str, Any]) -> None:
    status, _, answer = desk.ask(with_assertion(assertion(**change)), headers=[("content-type", FORM)])
    assert (status, answer["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "é"])
def test_what_is_no_assertion_is_refused(desk: Desk, text: str) -> None:
    body = with_assertion(text).encode("ascii", "replace")
    assert desk.ask(body, headers=[("content-type", FORM)])[0] == 401


def test_requests_that_wait_together_are_signed_together() -> None:
    desk = Desk()

    async def all_at_once() -> list[tuple[int, dict[str, str], Any]]:
        asks = (
            desk.answer(
                "grant_type=client_credentials", path="/enterprise/oauth2/token", method="POST", headers=None
            )
            for _ in range(100)
        )
        return await asyncio.gather(*asks)

    answers = asyncio.run(all_at_once())
    assert {answer[0] for answer in answers} == {200}
    assert sum(desk.signer.batches) == 100
    assert len(desk.signer.batches) < 10


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=300) | st.text(max_size=200).map(str.encode),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    path=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
def test_no_input_gets_anything_but_a_clear_refusal(body: bytes, header: str, path: str) -> None:
    desk = Desk()
    for target in ("/enterprise/oauth2/token", f"/{path}/oauth2/token"):
        headers = [("content-type", FORM), ("authorization", header)]
        status, _, answer = desk.ask(body, path=target, headers=headers)
        assert 400 <= status < 500
        assert answer["error"]


def test_the_signers_refusals_never_carry_a_detail_to_the_client(desk: Desk) -> None:
    desk.signer.failure = Refused("too_many_pending", "the signer refused", "internal detail")
    assert "internal" not in json.dumps(desk.ask()[2])


@given(st.text("ab=&;%+2c é", max_size=40) | st.text(max_size=20))
@settings(deadline=None)
def test_a_form_means_what_the_standard_library_takes_it_for(form: str) -> None:
    def told(parse: Callable[[str], list[tuple[str, str]]]) -> list[tuple[str, str]] | None:
        try:
            return parse(form)
        except ValueError:
            return None

    def theirs(form: str) -> list[tuple[str, str]]:
        return parse_qsl(
            form, keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS, errors="strict"
        )

    assert told(_pairs) == told(theirs)
