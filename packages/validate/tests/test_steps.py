"""Every step of the check, by the reason it gives."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sealwright_validate import Evidence, Expect, Misconfigured, Reason, Validator
from sealwright_validate.conformance.keys import jws, make_key
from sealwright_validate.encoding import encode_base64url

MAIL = "https://mail.example"
HOUR = 3600
World = Any


@pytest.mark.parametrize(
    "algorithm", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256", "RS512", "ML-DSA-44"]
)
def test_a_well_formed_token_of_every_algorithm_is_accepted(
    new_world: Callable[..., World], algorithm: str
) -> None:
    world = new_world(algorithm=algorithm)
    token = world.validate(world.authority.token(world.key))
    assert token.realm == "enterprise"
    assert token.claims["sub"] == token.subject == "mail-client"
    assert token.scopes == {"mail.read", "mail.send"}
    assert token.kid == world.key.kid


def test_what_is_returned_cannot_be_changed(world: World) -> None:
    token = world.validate(world.authority.token(world.key, act={"sub": "x"}, amr=["pwd"]))
    with pytest.raises(TypeError):
        token.claims["sub"] = "root"
    with pytest.raises(TypeError):
        token.claims["act"]["sub"] = "root"
    assert token.claims["amr"] == ("pwd",)
    with pytest.raises((AttributeError, TypeError)):
        token.digest = ""
    copy = token.to_dict()
    copy["amr"].append("mfa")
    json.dumps(copy)
    assert token.claims["amr"] == ("pwd",)


def test_a_key_of_another_realm_is_refused_as_such(world: World) -> None:
    stolen = world.authority.make_key("consumer")
    world.publish()
    forged = jws(stolen.key, world.authority.header(stolen), world.authority.claims("enterprise"))
    assert world.reason(forged) is Reason.KEY_OF_OTHER_REALM


def test_a_good_token_of_a_realm_that_is_not_expected_is_refused(world: World) -> None:
    consumer = world.authority.make_key("consumer")
    world.publish()
    good = world.authority.token(consumer)
    assert world.validate(good, realm="consumer", audience="https://mail.consumer.example")
    expect = Expect(audience="https://mail.consumer.example", realm="enterprise")
    assert world.reason(good, expect) is Reason.ISSUER_NOT_ALLOWED


def test_without_a_realm_the_relying_party_is_misconfigured(world: World) -> None:
    with pytest.raises(Misconfigured, match="realm"):
        world.validator.validate(world.authority.token(world.key), Expect(audience=MAIL))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "http://127.0.0.1:8420/enterprise/"}, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": ["http://127.0.0.1:8420/enterprise"]}, Reason.CLAIM_MISSING),
        ({"iss": None}, Reason.CLAIM_MISSING),
        ({"aud": None}, Reason.CLAIM_MISSING),
        ({"aud": []}, Reason.CLAIM_MISSING),
        ({"aud": "https://mail.example/"}, Reason.AUDIENCE_NOT_ALLOWED),
        ({"aud": "https://files.example"}, Reason.AUDIENCE_NOT_ALLOWED),
        ({"aud": [MAIL, "https://elsewhere.example"]}, Reason.AUDIENCE_NOT_ALLOWED),
        ({"aud": [MAIL, 7]}, Reason.CLAIM_MALFORMED),
        ({"sub": None}, Reason.CLAIM_MISSING),
        ({"sub": 7}, Reason.CLAIM_MALFORMED),
        ({"sub": ""}, Reason.CLAIM_MALFORMED),
        ({"client_id": None}, Reason.CLAIM_MISSING),
        ({"scope": ["mail.read"]}, Reason.CLAIM_MALFORMED),
        ({"iat": None}, Reason.CLAIM_MISSING),
        ({"exp": None}, Reason.CLAIM_MISSING),
        ({"exp": "4000000000"}, Reason.CLAIM_MALFORMED),
        ({"exp": True}, Reason.CLAIM_MALFORMED),
        ({"exp": 10**300}, Reason.CLAIM_MALFORMED),
        ({"iat": -1}, Reason.CLAIM_MALFORMED),
        ({"jti": None}, Reason.JTI_MALFORMED),
        ({"jti": "7"}, Reason.JTI_MALFORMED),
        ({"jti": "aaaaaaaaaaaaaaaa.7.AAAAAAAAAAAA"}, Reason.JTI_MALFORMED),
    ],
)
def test_a_claim_that_is_not_as_it_must_be_is_refused(
    world: World, claims: dict[str, Any], reason: Reason
) -> None:
    assert world.reason(world.authority.token(world.key, **claims)) is reason


def test_times_are_held_to_the_second_and_the_skew(world: World) -> None:
    now = world.authority.now
    token = world.authority.token

    def accepted(**claims: int) -> bool:
        return bool(world.validate(token(world.key, **claims)))

    assert accepted(iat=now - 300, exp=now - 4)
    assert world.reason(token(world.key, iat=now - 300, exp=now - 5)) is Reason.TOKEN_EXPIRED
    assert accepted(iat=now + 5, exp=now + 60)
    assert world.reason(token(world.key, iat=now + 6, exp=now + 60)) is Reason.ISSUED_IN_FUTURE
    assert accepted(nbf=now + 5)
    assert world.reason(token(world.key, nbf=now + 6)) is Reason.TOKEN_NOT_YET_VALID
    assert accepted(iat=now, exp=now + HOUR)
    assert world.reason(token(world.key, iat=now, exp=now + HOUR + 1)) is Reason.LIFETIME_NOT_ALLOWED
    assert world.reason(token(world.key, iat=now + 1, exp=now)) is Reason.LIFETIME_NOT_ALLOWED


def test_the_window_of_the_key_binds_its_tokens(world: World) -> None:
    now, entry = world.authority.now, world.key.entry
    before = world.authority.token(world.key, iat=entry["use_from"] - 1, exp=now + 60)
    assert world.reason(before) is Reason.KEY_OUTSIDE_WINDOW
    world.pass_time(5 * HOUR)
    late = world.authority.token(world.key, iat=entry["use_until"], exp=entry["use_until"] + 60)
    assert world.reason(late) is Reason.KEY_OUTSIDE_WINDOW
    last = world.authority.token(world.key, iat=entry["use_until"] - 1, exp=entry["use_until"] + 60)
    assert world.validate(last)
    beyond = world.authority.token(world.key, iat=entry["use_until"] - 1, exp=entry["verify_until"] + 1)
    assert world.reason(beyond) is Reason.KEY_OUTSIDE_WINDOW
    world.pass_time(2 * HOUR + 5)
    assert world.reason(last) is Reason.KEY_OUTSIDE_WINDOW


def test_a_staged_key_signs_nothing_before_its_time(world: World) -> None:
    staged = world.authority.make_key(status="staged", window=(HOUR, 7 * HOUR, 9 * HOUR))
    world.publish()
    early = world.authority.token(staged)
    assert world.reason(early) is Reason.KEY_NOT_YET_ACTIVE
    postdated = world.authority.token(
        staged, iat=world.authority.now + HOUR, exp=world.authority.now + 2 * HOUR
    )
    assert world.reason(postdated) is Reason.KEY_NOT_YET_ACTIVE


def test_retired_and_revoked_keys_are_refused_and_told_apart_from_unknown_ones(world: World) -> None:
    retired, revoked, unknown = (world.authority.make_key() for _ in range(3))
    world.publish()
    tokens = [world.authority.token(issued) for issued in (retired, revoked)]
    world.authority.retire(retired)
    world.authority.revoke(revoked)
    world.authority.keys.remove(unknown)
    world.publish()
    assert [world.reason(token) for token in tokens] == [Reason.KEY_RETIRED, Reason.KEY_REVOKED]
    assert world.reason(world.authority.token(unknown)) is Reason.UNKNOWN_KEY


def test_a_forgery_under_a_remembered_retired_key_is_told_by_its_signature(world: World) -> None:
    retired = world.authority.make_key()
    world.publish()
    world.authority.retire(retired)
    world.publish()
    header = world.authority.header(retired)
    assert world.reason(jws(make_key("ES256"), header, world.authority.claims())) is Reason.SIGNATURE_INVALID


def test_revocation_from_a_moment_on_spares_older_tokens(world: World) -> None:
    now = world.authority.now
    old, new = (world.authority.token(world.key, iat=at, exp=now + 60) for at in (now - 11, now - 10))
    world.authority.revoke(world.key, issued_before=now - 10)
    world.publish()
    assert world.validate(old)
    assert world.reason(new) is Reason.KEY_REVOKED


def test_evidence_below_what_is_asked_for_is_refused(world: World) -> None:
    token = world.authority.token(world.key)
    assert world.validator.validate(token, Expect(audience=MAIL, realm="enterprise", evidence="simulated"))
    for level in (Evidence.VIRTUAL_TPM, Evidence.HARDWARE):
        expect = Expect(audience=MAIL, realm="enterprise", evidence=level)
        assert world.reason(token, expect) is Reason.EVIDENCE_TOO_LOW


def test_a_missing_scope_is_refused(world: World) -> None:
    token = world.authority.token(world.key)
    assert world.validator.validate(token, Expect(audience=MAIL, realm="enterprise", scopes="mail.read"))
    expect = Expect(audience=MAIL, realm="enterprise", scopes=("mail.read", "mail.delete"))
    assert world.reason(token, expect) is Reason.SCOPE_INSUFFICIENT


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": "HS256"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": "es256"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": ["ES256"]}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": None}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": "EdDSA"}, Reason.ALGORITHM_MISMATCH),
        ({"alg": "RS256"}, Reason.ALGORITHM_MISMATCH),
        ({"kid": None}, Reason.KID_MALFORMED),
        ({"kid": ""}, Reason.KID_MALFORMED),
        ({"kid": 7}, Reason.KID_MALFORMED),
        ({"kid": "a\x00b"}, Reason.KID_MALFORMED),
        ({"kid": "k" * 257}, Reason.KID_MALFORMED),
        ({"kid": "../../../../dev/null"}, Reason.UNKNOWN_KEY),
        ({"crit": ["exp"]}, Reason.CRITICAL_HEADER),
        ({"crit": []}, Reason.CRITICAL_HEADER),
        ({"b64": False}, Reason.HEADER_NOT_ALLOWED),
        ({"jku": "https://evil.example"}, Reason.HEADER_NOT_ALLOWED),
        ({"x5u": "https://evil.example"}, Reason.HEADER_NOT_ALLOWED),
        ({"jwk": {}}, Reason.HEADER_NOT_ALLOWED),
        ({"x5c": []}, Reason.HEADER_NOT_ALLOWED),
        ({"extra": 1}, Reason.HEADER_NOT_ALLOWED),
        ({"typ": "JWT"}, Reason.TYPE_NOT_ALLOWED),
        ({"typ": None}, Reason.TYPE_NOT_ALLOWED),
        ({"typ": ["at+jwt"]}, Reason.TYPE_NOT_ALLOWED),
        ({"pad": "x" * 5000}, Reason.TOKEN_TOO_LARGE),
    ],
)
def test_a_header_that_is_not_as_it_must_be_is_refused(
    world: World, header: dict[str, Any], reason: Reason
) -> None:
    token = jws(world.key.key, world.authority.header(world.key, **header), world.authority.claims())
    assert world.reason(token) is reason


def test_what_is_no_token_is_refused_by_its_form(world: World) -> None:
    good = world.authority.token(world.key)
    header, payload, signature = good.split(".")
    assert world.reason("") is Reason.TOKEN_MISSING
    assert world.reason("a" * 16_385) is Reason.TOKEN_TOO_LARGE
    for bad in (
        "a.b",
        f"{good}.",
        f"{header}.{payload}.",
        f"{header}..{signature}",
        f"{header}=.{payload}.{signature}",
        f" {good}",
        f"{good}\n",
        f"{header}.{payload}.{signature[:-1]}é",
        f"{header}.{payload}.{signature}==",
        f"{header}.{payload}.+{signature[1:]}",
    ):
        assert world.reason(bad) in {Reason.TOKEN_MALFORMED, Reason.SIGNATURE_INVALID}, bad


def test_a_second_spelling_of_the_same_signature_is_refused(world: World) -> None:
    head, _, last = world.authority.token(world.key).rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = alphabet[
        alphabet.index(last[-1]) + 1
    ]  # the same bytes to a lax decoder: only left-over bits differ
    assert world.reason(f"{head}.{last[:-1]}{respelled}") is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"iss":"a","iss":"b"}', Reason.DUPLICATE_MEMBER),
        (b'{"act":{"sub":"a","sub":"b"}}', Reason.DUPLICATE_MEMBER),
        (b'{"iss":"\xff"}', Reason.TOKEN_MALFORMED),
        (b'\xef\xbb\xbf{"iss":"a"}', Reason.TOKEN_MALFORMED),
        ('{"iss":"a"}'.encode("utf-16"), Reason.TOKEN_MALFORMED),
        (b'{"exp":NaN}', Reason.TOKEN_MALFORMED),
        (b'{"exp":Infinity}', Reason.TOKEN_MALFORMED),
        (b'{"sub":"\\ud800"}', Reason.TOKEN_MALFORMED),
        (b"[]", Reason.TOKEN_MALFORMED),
        (b"{} {}", Reason.TOKEN_MALFORMED),
        (b"{'iss': 'a'}", Reason.TOKEN_MALFORMED),
        (b'{"a":' * 5000, Reason.TOKEN_TOO_LARGE),
        (b'{"a":' + b"[" * 5000, Reason.TOKEN_MALFORMED),
        (b'{"exp":' + b"9" * 5000 + b"}", Reason.TOKEN_MALFORMED),
    ],
)
def test_a_payload_that_could_be_read_in_two_ways_is_refused(
    world: World, payload: bytes, reason: Reason
) -> None:
    assert world.reason(jws(world.key.key, world.authority.header(world.key), payload)) is reason


def test_a_header_with_a_member_twice_is_refused(world: World) -> None:
    header = f'{{"alg":"none","alg":"ES256","kid":"{world.key.kid}","typ":"at+jwt"}}'.encode()
    assert world.reason(jws(world.key.key, header, world.authority.claims())) is Reason.DUPLICATE_MEMBER


def test_psychic_and_foreign_signatures_are_refused(world: World) -> None:
    head = world.authority.token(world.key).rpartition(".")[0]
    for signature in (bytes(64), b"\x00", bytes(63) + b"\x01", bytes(72), b"\xff" * 64):
        assert world.reason(f"{head}.{encode_base64url(signature)}") is Reason.SIGNATURE_INVALID


def test_an_expectation_cannot_be_empty() -> None:
    for senseless in ({"audience": ""}, {"audience": ()}, {"audience": MAIL, "token_types": ()}):
        with pytest.raises(Misconfigured):
            Expect(**senseless)
    with pytest.raises(Misconfigured):
        Expect(audience=MAIL, evidence="excellent")


def test_a_validator_cannot_be_made_lax(world: World) -> None:
    for lax in ({"skew": 61}, {"skew": -1}, {"skew": float("nan")}, {"mode": "off"}, {"cache_size": 0}):
        with pytest.raises(Misconfigured):
            Validator(trust=world.trust, **lax)
    with pytest.raises(Misconfigured, match="ledger"):
        Validator(trust=world.trust, mode="strict")


def test_tokens_of_other_types_need_no_client_and_no_place_but_must_be_expected_and_in_scope(
    world: World,
) -> None:
    issued = world.authority.make_key()
    issued.entry["token_types"] = ["JWT"]
    world.publish()
    claims = world.authority.claims(client_id=None, jti="6f1c1a3e-9c3d-4b0e-8a53-1c5c0d7b2e11")
    token = jws(issued.key, world.authority.header(issued, typ="JWT"), claims)
    assert world.reason(token) is Reason.TYPE_NOT_ALLOWED
    expect = Expect(audience=MAIL, realm="enterprise", token_types="JWT")
    assert world.validator.validate(token, expect).client_id == ""
    access = jws(issued.key, world.authority.header(issued), world.authority.claims())
    assert world.reason(access) is Reason.TYPE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("[" * 15 + "]" * 15, True),
        ("[" * 16 + "]" * 16, False),
        ("[{}," * 7 + "1" + "]" * 7, True),
        ('"' + "[" * 100 + '"', True),
        ('"\\"' + "[" * 100 + '"', True),
        ('["]",' * 20 + "1" + "]" * 20, False),
        ("[[],{}," * 15 + "1" + "]" * 15, False),
    ],
)
def test_nesting_is_counted_outside_of_strings_only(text: str, fits: bool) -> None:
    from sealwright_validate import Refused
    from sealwright_validate.encoding import decode_json_object

    padding = ",".join(["[]"] * 20)  # enough brackets for the count to be taken
    document = f'{{"a":{text},"b":[{padding}]}}'.encode()
    if fits:
        assert decode_json_object(document)["b"] == [[]] * 20
    else:
        with pytest.raises(Refused):
            decode_json_object(document)
