"""Security events end what they name, nothing else, and for good; what is no such event changes nothing."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from sealwright_validate import Expect, Misconfigured, Reason, Refused, Unavailable, Validator
from sealwright_validate.algorithms import Algorithm, verifier_for
from sealwright_validate.encoding import encode_base64url
from sealwright_validate.signals import Receiver, Signals
from sealwright_validate.signals import ended as module
from sealwright_validate.signals.asgi import PushEndpoint
from sealwright_validate.signals.effects import (
    CLAIMS_CHANGE,
    CREDENTIAL_CHANGE,
    CREDENTIAL_COMPROMISE,
    SESSION_REVOKED,
    SIGNING_KEY,
)
from sealwright_validate.signals.ended import Ended
from sealwright_validate.signals.sets import SetRefusedError

MAIL, NOW = "https://mail.example", 1_800_000_000.0
World = Any
TRANSMITTER, NAME, KID, SECRET = "https://tokens.example", "mail-api", "k1", "Bearer push-secret"


class Transmitter:
    """Makes SETs as RFC 8417 and SSF 1.0 say, and, when asked, as they do not."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.verifier = verifier_for(self.key.public_key(), Algorithm.RS256)

    def signed(
        self, event: str, subject: object, content: object = None, *, header: Any = None, **change: object
    ) -> bytes:
        """A SET; a claim that is changed to None is left out."""
        head = {"alg": "RS256", "kid": KID, "typ": "secevent+jwt"} | (header or {})
        claims: dict[str, object] = {
            "iss": TRANSMITTER,
            "jti": "set-1",
            "iat": int(NOW),
            "aud": NAME,
            "txn": "t-1",
            "sub_id": subject,
            "events": {event: {} if content is None else content},
        } | change
        kept = {name: value for name, value in claims.items() if value is not None}
        parts = (encode_base64url(json.dumps(part).encode()) for part in (head, kept))
        signing_input = ".".join(parts).encode()
        signature = self.key.sign(signing_input, PKCS1v15(), SHA256())
        return signing_input + b"." + encode_base64url(signature).encode()


@pytest.fixture(scope="module")
def transmitter() -> Transmitter:
    return Transmitter()


class Service:
    """A relying party with a validator that listens to a transmitter."""

    def __init__(self, world: World, folder: Path, transmitter: Transmitter) -> None:
        self.world = world
        self.signals = Signals(
            "http://127.0.0.1:9",
            NAME,
            state_file=folder / "signals.jsonl",
            poll=False,
            clock=world.clock,
        )
        keys = {KID: transmitter.verifier}
        self.receiver = Receiver(TRANSMITTER, NAME, self.signals.ended, lambda _: keys, clock=world.clock)
        self.validator = Validator(trust=world.trust, signals=self.signals)
        self.expect = Expect(audience=MAIL, realm="enterprise")

    def reason(self, token: str) -> Reason | None:
        try:
            self.validator.validate(token, self.expect)
        except Refused as refusal:
            return refusal.reason
        return None


@pytest.fixture
def service(world: World, tmp_path: Path, transmitter: Transmitter) -> Service:
    return Service(world, tmp_path, transmitter)


def claims_of(service: Service, token: str) -> Mapping[str, Any]:
    claims: Mapping[str, Any] = service.world.validate(token).claims
    return claims


def subjects(claims: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every subject that names this token, by the name of its form."""
    issuer = claims["iss"]
    user = {"format": "iss_sub", "iss": issuer, "sub": claims["sub"]}
    application = {"format": "iss_sub", "iss": issuer, "sub": claims["client_id"]}
    tenant = {"format": "opaque", "id": issuer}
    return {
        "jwt_id": {"format": "jwt_id", "iss": issuer, "jti": claims["jti"]},
        "place": {"format": "jwt_id", "iss": issuer, "jti": claims["jti"].rpartition(".")[0]},
        "iss_sub": user,
        "application": {"format": "complex", "application": application},
        "tenant": {"format": "complex", "tenant": tenant},
        "all three": {"format": "complex", "user": user, "application": application, "tenant": tenant},
    }


FORMS = ["jwt_id", "place", "iss_sub", "application", "tenant", "all three"]


@pytest.mark.parametrize("event", [SESSION_REVOKED, CLAIMS_CHANGE])
@pytest.mark.parametrize("form", FORMS)
def test_a_session_that_is_revoked_ends_its_tokens_also_remembered_ones(
    service: Service, transmitter: Transmitter, form: str, event: str
) -> None:
    token = service.world.authority.token(service.world.key)
    assert service.reason(token) is None
    assert service.reason(token) is None, "from memory"
    subject = subjects(claims_of(service, token))[form]
    assert service.receiver.take(transmitter.signed(event, subject)) == "set-1"
    assert service.reason(token) is Reason.TOKEN_REVOKED
    assert service.receiver.counts.acted == 1


@pytest.mark.parametrize("form", ["jwt_id", "place"])
def test_a_token_that_is_revoked_takes_no_other_with_it(
    service: Service, transmitter: Transmitter, form: str
) -> None:
    token, other = (
        service.world.authority.token(service.world.key),
        service.world.authority.token(service.world.key),
    )
    subject = subjects(claims_of(service, token))[form]
    service.receiver.take(transmitter.signed(SESSION_REVOKED, subject))
    assert service.reason(other) is None


@pytest.mark.parametrize("form", ["iss_sub", "application", "tenant", "all three"])
def test_what_is_issued_after_a_session_was_revoked_is_accepted(
    service: Service, transmitter: Transmitter, form: str
) -> None:
    subject = subjects(claims_of(service, service.world.authority.token(service.world.key)))[form]
    service.receiver.take(transmitter.signed(SESSION_REVOKED, subject, {"event_timestamp": int(NOW)}))
    service.world.pass_time(2)
    assert service.reason(service.world.authority.token(service.world.key)) is None


def test_an_event_from_the_future_ends_no_more_than_a_minute_of_it(
    service: Service, transmitter: Transmitter
) -> None:
    subject = subjects(claims_of(service, service.world.authority.token(service.world.key)))["tenant"]
    content = {"event_timestamp": int(NOW) + 10_000_000}
    service.receiver.take(transmitter.signed(SESSION_REVOKED, subject, content))
    service.world.pass_time(62)
    assert service.reason(service.world.authority.token(service.world.key)) is None


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (CREDENTIAL_COMPROMISE, {"credential_type": SIGNING_KEY}),
        (CREDENTIAL_CHANGE, {"credential_type": SIGNING_KEY, "change_type": "revoke"}),
        (CREDENTIAL_CHANGE, {"credential_type": SIGNING_KEY, "change_type": "delete"}),
    ],
)
def test_a_key_that_is_compromised_ends_all_its_tokens_also_later_ones(
    service: Service, transmitter: Transmitter, event: str, content: dict[str, Any]
) -> None:
    token = service.world.authority.token(service.world.key)
    claims = claims_of(service, token)
    subject = {"format": "opaque", "id": f"{claims['iss']}#{service.world.key.kid}"}
    service.receiver.take(transmitter.signed(event, subject, content))
    assert service.reason(token) is Reason.KEY_REVOKED
    service.world.pass_time(30)
    assert service.reason(service.world.authority.token(service.world.key)) is Reason.KEY_REVOKED


def test_tokens_from_before_a_bound_stay_valid_when_the_key_is_revoked_with_one(
    service: Service, transmitter: Transmitter
) -> None:
    token = service.world.authority.token(service.world.key)
    subject = {"format": "opaque", "id": f"{claims_of(service, token)['iss']}#{service.world.key.kid}"}
    content = {"credential_type": SIGNING_KEY, "change_type": "revoke", "issued_before": int(NOW) + 10}
    service.receiver.take(transmitter.signed(CREDENTIAL_CHANGE, subject, content))
    assert service.reason(token) is None
    service.world.pass_time(10)
    assert service.reason(service.world.authority.token(service.world.key)) is Reason.KEY_REVOKED


@pytest.mark.parametrize(
    ("event", "subject", "content"),
    [
        (SESSION_REVOKED, {"format": "email", "email": "a@b.example"}, {}),
        (SESSION_REVOKED, {"format": "complex", "device": {"format": "opaque", "id": "d"}}, {}),
        (SESSION_REVOKED, {"format": "complex"}, {}),
        (SESSION_REVOKED, {"format": "iss_sub", "iss": "", "sub": "app"}, {}),
        (SESSION_REVOKED, {"format": "jwt_id", "iss": 7, "jti": ["x"]}, {}),
        (CREDENTIAL_CHANGE, {"format": "opaque", "id": "x#y"}, {"credential_type": "password"}),
        (CREDENTIAL_COMPROMISE, {"format": "opaque", "id": "no-mark"}, {"credential_type": SIGNING_KEY}),
        ("https://example.com/unheard-of", {"format": "opaque", "id": "x"}, {}),
    ],
)
def test_an_event_about_what_tokens_do_not_show_is_acknowledged_and_changes_nothing(
    service: Service, transmitter: Transmitter, event: str, subject: object, content: object
) -> None:
    token = service.world.authority.token(service.world.key)
    assert service.receiver.take(transmitter.signed(event, subject, content)) == "set-1"
    assert service.reason(token) is None
    assert (service.receiver.counts.ignored, len(service.signals.ended)) == (1, 0)


def revoked(service: Service) -> dict[str, Any]:
    return subjects(claims_of(service, service.world.authority.token(service.world.key)))["tenant"]


BAD: list[tuple[str, dict[str, Any]]] = [
    ("invalid_request", {"header": {"alg": "none"}}),
    ("invalid_request", {"header": {"alg": "HS256"}}),
    ("invalid_request", {"header": {"typ": "at+jwt"}}),
    ("invalid_request", {"header": {"jku": "https://evil.example"}}),
    ("invalid_request", {"header": {"kid": 7}}),
    ("invalid_issuer", {"iss": "https://evil.example"}),
    ("invalid_issuer", {"iss": None}),
    ("invalid_audience", {"aud": "another"}),
    ("invalid_audience", {"aud": None}),
    ("invalid_request", {"exp": int(NOW) + 60}),
    ("invalid_request", {"sub": "app"}),
    ("invalid_request", {"jti": None}),
    ("invalid_request", {"iat": "now"}),
    ("invalid_request", {"events": {}}),
    ("invalid_request", {"events": {SESSION_REVOKED: 1}}),
    ("invalid_request", {"sub_id": None}),
]


@pytest.mark.parametrize(("err", "change"), BAD)
def test_a_set_that_is_not_one_for_us_is_refused_with_the_codes_of_rfc_8935(
    service: Service, transmitter: Transmitter, err: str, change: dict[str, Any]
) -> None:
    with pytest.raises(SetRefusedError) as caught:
        service.receiver.take(transmitter.signed(SESSION_REVOKED, revoked(service), **change))
    assert caught.value.err == err
    assert len(service.signals.ended) == 0


def test_a_set_that_was_changed_on_the_way_is_refused(service: Service, transmitter: Transmitter) -> None:
    signed = transmitter.signed(SESSION_REVOKED, revoked(service))
    head, body, signature = signed.split(b".")
    other = Transmitter().signed(SESSION_REVOKED, revoked(service)).split(b".")[2]
    for changed in (b".".join((head, body, other)), b".".join((head, body, b"AAAA")), b"..", b"", head):
        with pytest.raises(SetRefusedError):
            service.receiver.take(changed)
    assert service.receiver.take(b".".join((head, body, signature))) == "set-1"


def test_an_unknown_key_is_not_held_against_the_set(service: Service, transmitter: Transmitter) -> None:
    with pytest.raises(Unavailable):
        service.receiver.take(transmitter.signed(SESSION_REVOKED, revoked(service), header={"kid": "next"}))


def test_a_restart_forgets_nothing_and_another_process_learns_of_it(
    service: Service, transmitter: Transmitter, tmp_path: Path
) -> None:
    token = service.world.authority.token(service.world.key)
    other = Ended(tmp_path / "signals.jsonl", clock=service.world.clock)
    service.receiver.take(transmitter.signed(SESSION_REVOKED, subjects(claims_of(service, token))["jwt_id"]))
    claims = claims_of(service, token)
    assert other.is_ended(KID, claims) is None
    other.follow()
    assert other.is_ended(KID, claims) is Reason.TOKEN_REVOKED
    again = Ended(tmp_path / "signals.jsonl", clock=service.world.clock)
    assert again.is_ended(KID, claims) is Reason.TOKEN_REVOKED


def test_what_can_matter_no_more_is_left_out_at_the_next_start_and_keys_are_not(
    service: Service, transmitter: Transmitter, tmp_path: Path
) -> None:
    claims = claims_of(service, service.world.authority.token(service.world.key))
    service.receiver.take(transmitter.signed(SESSION_REVOKED, subjects(claims)["jwt_id"]))
    subject = {"format": "opaque", "id": f"{claims['iss']}#gone"}
    service.receiver.take(
        transmitter.signed(CREDENTIAL_COMPROMISE, subject, {"credential_type": SIGNING_KEY})
    )
    service.world.clock.advance(3 * 86_400)
    later = Ended(tmp_path / "signals.jsonl", clock=service.world.clock)
    assert len(later) == 1
    assert later.is_ended("gone", claims) is Reason.KEY_REVOKED
    service.signals.ended.follow()
    assert len(service.signals.ended) == 1, "who follows has read the new journal"


def test_nothing_is_acknowledged_that_cannot_be_kept(
    service: Service, transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 0)
    with pytest.raises(Unavailable):
        service.receiver.take(transmitter.signed(SESSION_REVOKED, revoked(service)))
    assert service.receiver.counts.taken == 0


def test_signals_need_a_name_a_secret_and_a_place(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    attempts: list[Callable[[], Signals]] = [
        lambda: Signals("http://127.0.0.1:9", "", "s", state_file=file),
        lambda: Signals("http://127.0.0.1:9", "a", "", state_file=file),
        lambda: Signals("http://tokens.example", "a", "s", state_file=file),
        lambda: Signals("http://127.0.0.1:9", "a", "s", state_file=tmp_path / "s" / "\0"),
    ]
    for bad in attempts:
        with pytest.raises((Misconfigured, ValueError)):
            bad()


def push(endpoint: PushEndpoint, body: bytes, **headers: str) -> tuple[int, Any]:
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(endpoint({"type": "http", "method": "POST", "headers": given}, receive, send))
    body = sent[1]["body"]
    return sent[0]["status"], json.loads(body) if body else None


@pytest.fixture
def endpoint(service: Service) -> PushEndpoint:
    service.signals.receiver = service.receiver  # type: ignore[misc] # the JWKS is at hand, nothing is fetched
    return PushEndpoint(service.signals, SECRET)


GOOD = {"content_type": "application/secevent+jwt", "authorization": SECRET}


def test_a_push_is_answered_with_202_once_it_is_kept(
    service: Service, endpoint: PushEndpoint, transmitter: Transmitter
) -> None:
    token = service.world.authority.token(service.world.key)
    signed = transmitter.signed(SESSION_REVOKED, subjects(claims_of(service, token))["jwt_id"])
    assert push(endpoint, signed, **GOOD) == (202, None)
    assert push(endpoint, signed, **GOOD) == (202, None), "the same SET again is no error"
    assert service.reason(token) is Reason.TOKEN_REVOKED


@pytest.mark.parametrize(
    ("headers", "err"),
    [
        (GOOD | {"authorization": "Bearer other"}, "authentication_failed"),
        ({"content_type": "application/secevent+jwt"}, "authentication_failed"),
        (GOOD | {"content_type": "application/json"}, "invalid_request"),
    ],
)
def test_a_push_by_somebody_else_or_of_something_else_is_refused(
    service: Service, endpoint: PushEndpoint, transmitter: Transmitter, headers: dict[str, str], err: str
) -> None:
    status, body = push(endpoint, transmitter.signed(SESSION_REVOKED, revoked(service)), **headers)
    assert (status, body["err"]) == (400, err)
    assert len(service.signals.ended) == 0


def test_a_push_that_cannot_be_kept_is_asked_for_again(
    service: Service, endpoint: PushEndpoint, transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 0)
    assert push(endpoint, transmitter.signed(SESSION_REVOKED, revoked(service)), **GOOD)[0] == 503
