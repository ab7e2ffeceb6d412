"""Plain OpenID issuers and Entra: what can be enforced of a JWKS is enforced, and everything fails closed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwright_validate import Expect, Misconfigured, Reason, Refused, Trust, Validator
from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.certificate import certificate_for
from sealwright_validate.conformance.keys import SigningKey, compact_json, jws, make_key
from sealwright_validate.conformance.scene import YEAR, make_scene
from sealwright_validate.conformance.server import Served
from sealwright_validate.issuers import ENTRA_CONSUMERS, EntraTenants, OneIssuer, entra_tenants
from sealwright_validate.jwks import cache_lifetime, jwks_address, open_jwks
from sealwright_validate.keyset import KeySnapshot

NOW = 1_800_000_000
ISSUER = "https://issuer.example"
RULE = OneIssuer(ISSUER)
TENANT, OTHER = "aaaaaaaa-2222-3333-4444-555555555555", "bbbbbbbb-2222-3333-4444-555555555555"
CLOUD = "https://login.microsoftonline.com"
TEMPLATE = f"{CLOUD}/{{tenantid}}/v2.0"
Members = dict[str, Any]


def opened(
    *keys: Members, previous: KeySnapshot | None = None, now: float = NOW, rule: Any = RULE
) -> KeySnapshot:
    return open_jwks(compact_json({"keys": list(keys)}), rule, previous, now=now, lifetime=3600)


def listed(key: SigningKey, **more: Any) -> Members:
    return {**key.jwk, **more}


def test_keys_that_cannot_be_used_are_left_out_and_the_rest_is_taken() -> None:
    good, private = make_key("ES256"), make_key("ES256")
    weak = {"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"}
    snapshot = opened(
        listed(good),
        listed(private, d="AAAA"),
        listed(make_key("RS256"), use="enc"),
        listed(make_key("ES256"), key_ops=["sign"]),
        {"kty": "oct", "kid": "secret", "k": "AAAA"},
        {"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA"},
        weak,
        {name: value for name, value in make_key("ES256").jwk.items() if name != "kid"},
        listed(make_key("ES256"), kid=""),
        listed(make_key("ES256"), issuer="https://other.example"),
    )
    assert set(snapshot.keys) == {good.kid}


def test_a_lattice_key_is_for_the_one_algorithm_that_it_names() -> None:
    good, nameless, other = (make_key("ML-DSA-44") for _ in range(3))
    bare = {name: value for name, value in listed(nameless).items() if name != "alg"}
    snapshot = opened(listed(good), bare, listed(other, alg="ML-DSA-65"))
    assert {kid: key.algorithm.value for kid, key in snapshot.keys.items()} == {good.kid: "ML-DSA-44"}


def test_one_id_for_two_keys_is_refused_for_ever() -> None:
    first, second = make_key("ES256"), make_key("ES256")
    snapshot = opened(listed(first, kid="k"), listed(second, kid="k"))
    assert (dict(snapshot.keys), snapshot.tombstones["k"]) == ({}, Reason.KEY_UNUSABLE)
    assert not opened(listed(first, kid="k"), previous=snapshot).keys


def test_the_first_key_seen_under_an_id_stays_the_only_one() -> None:
    first, second = make_key("ES256"), make_key("ES256")
    snapshot = opened(listed(first, kid="k"))
    gone = opened(listed(make_key("ES256")), previous=snapshot)
    changed = opened(listed(second, kid="k"), previous=gone)
    assert changed.tombstones["k"] is Reason.KEY_CHANGED
    assert "k" not in changed.keys
    assert "k" not in opened(listed(first, kid="k"), previous=changed).keys


def test_a_certificate_binds_its_key_to_its_validity() -> None:
    key, other = make_key("ES256"), make_key("ES256")
    valid = certificate_for(key, since=NOW - YEAR, until=NOW + 100)
    trusted = opened(listed(key, x5c=[valid])).keys[key.kid]
    assert (trusted.use_from, trusted.verify_until) == (NOW - YEAR, NOW + 100)
    for broken in (
        [certificate_for(other, since=NOW - YEAR, until=NOW + YEAR)],
        [],
        ["?"],
        ["AAAA"],
        "x",
        [7],
    ):
        assert key.kid not in opened(listed(key, x5c=broken)).keys


def test_a_key_grows_too_old_by_its_certificate_and_by_being_seen() -> None:
    key = make_key("ES256")
    old = opened(listed(key, x5c=[certificate_for(key, since=NOW - 6 * YEAR, until=NOW + YEAR)])).keys[
        key.kid
    ]
    assert old.verify_until < NOW
    young = opened(listed(key))
    assert young.keys[key.kid].verify_until > NOW + 4 * YEAR
    later = opened(listed(key), previous=young, now=NOW + 4 * YEAR)
    assert later.keys[key.kid].verify_until == young.keys[key.kid].verify_until


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[7]}',
        b'{"keys":[],"keys":[]}',
        compact_json({"keys": [{}] * 257}),
        b"\xff",
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(Refused):
        open_jwks(document, RULE, None, now=NOW, lifetime=3600)


def test_a_discovery_document_must_name_the_very_issuer() -> None:
    good = {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"}
    assert jwks_address(compact_json(good), ISSUER) == "https://keys.example/jwks"
    for changed in (
        {"issuer": ISSUER + "/"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/x"},
    ):
        with pytest.raises(Refused):
            jwks_address(compact_json(good | changed), ISSUER)


def test_cache_headers_are_followed_within_bounds() -> None:
    def kept(value: str) -> float:
        return cache_lifetime({"cache-control": value}, least=60, most=3600)

    assert [kept("public, max-age=300"), kept("max-age=5"), kept("max-age=999999"), kept("no-store")] == [
        300,
        60,
        3600,
        60,
    ]
    assert kept("max-age=-1") == kept("max-age=1e9") == kept("max-age=99999999999999") == kept("") == 60


@pytest.mark.parametrize(
    ("claims", "key_issuer", "reason"),
    [
        ({}, TEMPLATE, None),
        ({}, f"{CLOUD}/{TENANT}/v2.0", None),
        ({}, f"{CLOUD}/{OTHER}/v2.0", Reason.KEY_OF_OTHER_REALM),
        ({}, f"{CLOUD}/{ENTRA_CONSUMERS}/v2.0", Reason.KEY_OF_OTHER_REALM),
        ({"tid": OTHER}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"tid": None}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": f"{CLOUD}/{OTHER}/v2.0", "tid": OTHER}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": None}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": f"{CLOUD}/v2.0"}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": f"{CLOUD}/{{tenantid}}/v2.0", "tid": "{tenantid}"}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": f"{CLOUD}/common/v2.0", "tid": "common"}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": f"https://sts.windows.net/{TENANT}/"}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
        ({"iss": f"{CLOUD}/{TENANT.upper()}/v2.0"}, TEMPLATE, Reason.ISSUER_NOT_ALLOWED),
    ],
)
def test_entra_holds_key_issuer_and_tenant_together(
    claims: Members, key_issuer: str, reason: Reason | None
) -> None:
    rule = entra_tenants([TENANT], any_tenant=False, cloud=CLOUD)
    good = {"iss": f"{CLOUD}/{TENANT}/v2.0", "tid": TENANT}
    said = {name: value for name, value in {**good, **claims}.items() if value is not None}
    if reason is None:
        rule.require_tenant(said, key_issuer)
        return
    with pytest.raises(Refused) as caught:
        rule.require_tenant(said, key_issuer)
    assert caught.value.reason is reason


def test_an_enterprise_key_does_not_speak_for_personal_accounts() -> None:
    rule = entra_tenants([ENTRA_CONSUMERS, TENANT], any_tenant=False, cloud=CLOUD)
    claims = {"iss": f"{CLOUD}/{ENTRA_CONSUMERS}/v2.0", "tid": ENTRA_CONSUMERS}
    with pytest.raises(Refused) as caught:
        rule.require_tenant(claims, TEMPLATE)
    assert caught.value.reason is Reason.KEY_OF_OTHER_REALM
    rule.require_tenant(claims, f"{CLOUD}/{ENTRA_CONSUMERS}/v2.0")


def test_an_entra_key_without_an_issuer_is_nobodys() -> None:
    rule = entra_tenants([TENANT], any_tenant=False, cloud=CLOUD)
    keys = {
        name: make_key("RS256")
        for name in ("template", "tenant", "none", "empty", "other", "number", "consumers")
    }
    issuers = {
        "template": TEMPLATE,
        "tenant": f"{CLOUD}/{TENANT}/v2.0",
        "empty": "",
        "other": f"{CLOUD}/{OTHER}/v2.0",
        "number": 7,
        "consumers": f"{CLOUD}/{ENTRA_CONSUMERS}/v2.0",
    }
    snapshot = opened(
        *(
            listed(key, **({"issuer": issuers[name]} if name in issuers else {}))
            for name, key in keys.items()
        ),
        rule=rule,
    )
    assert set(snapshot.keys) == {keys["template"].kid, keys["tenant"].kid}


def test_one_key_under_two_issuers_is_refused() -> None:
    rule = entra_tenants([TENANT], any_tenant=False, cloud=CLOUD)
    key = make_key("RS256")
    snapshot = opened(listed(key, issuer=TEMPLATE), listed(key, issuer=f"{CLOUD}/{TENANT}/v2.0"), rule=rule)
    assert snapshot.tombstones[key.kid] is Reason.KEY_UNUSABLE


def test_tenants_must_be_named() -> None:
    senseless_ones: list[Members] = [
        {},
        {"tenants": [TENANT], "any_tenant": True},
        {"tenants": "contoso.com"},
    ]
    for senseless in senseless_ones:
        with pytest.raises(Misconfigured):
            Trust.entra(**senseless)
    rules = [
        entra_tenants([TENANT], any_tenant=False, cloud=CLOUD),
        entra_tenants((), any_tenant=True, cloud=CLOUD),
        entra_tenants([TENANT, ENTRA_CONSUMERS], any_tenant=False, cloud=CLOUD),
    ]
    assert [rule.path for rule in rules] == [TENANT, "organizations", "common"]
    assert [rule.discovered for rule in rules[:2]] == [f"{CLOUD}/{TENANT}/v2.0", TEMPLATE]
    assert all(isinstance(rule, EntraTenants) for rule in rules)


def test_an_issuer_without_tls_or_a_lax_limit_is_a_misconfiguration() -> None:
    lax: list[Members] = [
        {"issuer": "http://issuer.example"},
        {"issuer": "issuer.example"},
        {"issuer": ISSUER, "keys_lifetime": 86_401},
        {"issuer": ISSUER, "max_key_age": 10 * YEAR},
    ]
    for asked in lax:
        with pytest.raises(Misconfigured):
            Trust.oidc(**asked)


# over real HTTP


class Plain:
    """A plain issuer on loopback, with the key set of 2023."""

    def __init__(self, served: Served, url: str) -> None:
        self.served = served
        self.scene = make_scene(SYSTEM_CLOCK.wall(), url)
        self.issuer = self.scene.issuer
        self.expect = Expect(audience="https://mail.example")
        self.publish(self.scene.jwks())

    def publish(self, jwks: Members) -> None:
        path = self.issuer.removeprefix(self.scene.authority.url)
        discovery = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks.json"}
        self.served.documents[f"{path}/.well-known/openid-configuration"] = compact_json(discovery)
        self.served.documents[f"{path}/jwks.json"] = compact_json(jwks)


@pytest.fixture
def plain(served: tuple[Served, str]) -> Plain:
    return Plain(*served)


@pytest.fixture
def validator(plain: Plain) -> Iterator[Validator]:
    made = Validator(trust=Trust.oidc(plain.issuer))
    yield made
    made.close()


def reason_of(validator: Validator, token: str, expect: Expect) -> Reason:
    with pytest.raises(Refused) as caught:
        validator.validate(token, expect)
    return caught.value.reason


@pytest.mark.enable_socket
def test_a_plain_issuer_is_trusted_by_discovery(plain: Plain, validator: Validator) -> None:
    token = validator.validate(plain.scene.sign().token, plain.expect)
    assert (token.issuer, token.client_id) == (plain.issuer, "mail-client")
    stolen, expired = plain.scene.consumer, plain.scene.expired
    forged = plain.scene.sign(plain.scene.header(stolen), key=stolen.key).token
    assert reason_of(validator, forged, plain.expect) is Reason.UNKNOWN_KEY
    old = plain.scene.sign(plain.scene.header(expired), key=expired.key).token
    assert reason_of(validator, old, plain.expect) is Reason.KEY_OUTSIDE_WINDOW


@pytest.mark.enable_socket
def test_other_types_and_scopes_of_plain_issuers_must_be_asked_for(
    plain: Plain, validator: Validator
) -> None:
    sign, header = plain.scene.sign, plain.scene.header
    token = sign(
        header(typ=None), plain.scene.claims(scope=None, scp=["mail.read"], client_id=None, azp="app")
    ).token
    assert reason_of(validator, token, plain.expect) is Reason.TYPE_NOT_ALLOWED
    lax = Expect(audience="https://mail.example", token_types="JWT", scopes="mail.read")
    assert validator.validate(token, lax).client_id == "app"
    id_token = sign(header(typ="JWT"), plain.scene.claims(at_hash="x")).token
    assert reason_of(validator, id_token, lax) is Reason.TYPE_NOT_ALLOWED


@pytest.mark.enable_socket
def test_a_failed_refresh_keeps_the_last_good_set(plain: Plain, validator: Validator) -> None:
    token = plain.scene.sign().token
    validator.validate(token, plain.expect)
    plain.served.documents = dict.fromkeys(plain.served.documents, b"<html>")
    unknown = plain.scene.sign(plain.scene.header(kid="new"), key=plain.scene.stranger).token
    assert reason_of(validator, unknown, plain.expect) is Reason.UNKNOWN_KEY
    assert validator.validate(token, plain.expect)
    assert validator.health().last_refusal == "manifest_malformed"


@pytest.mark.enable_socket
def test_an_empty_key_set_does_not_replace_a_good_one(plain: Plain, validator: Validator) -> None:
    token = plain.scene.sign().token
    validator.validate(token, plain.expect)
    plain.publish({"keys": []})
    validator.trust.learn("x", 2)
    assert validator.validate(token, plain.expect)


@pytest.mark.enable_socket
def test_a_changed_key_is_noticed_over_a_restart(plain: Plain, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    trust = Trust.oidc(plain.issuer, state_file=seen)
    trust.wait_ready(5)
    trust.close()
    key, other = plain.scene.key, make_key("ES256")
    plain.publish({"keys": [{**other.jwk, "kid": key.kid}, make_key("ES256").jwk]})
    again = Validator(trust=Trust.oidc(plain.issuer, state_file=seen))
    forged = jws(other, plain.scene.header(), plain.scene.claims())
    assert reason_of(again, forged, plain.expect) is Reason.KEY_CHANGED
    again.close()
    seen.write_text(json.dumps({"issuer": "https://other.example", "seen": {}}))
    with pytest.raises(Misconfigured, match=r"seen\.json"):
        Trust.oidc(plain.issuer, state_file=seen)


@pytest.mark.enable_socket
def test_entra_over_http(served: tuple[Served, str]) -> None:
    state, cloud = served
    key, consumer = make_key("RS256"), make_key("RS256")
    issuer = f"{cloud}/{TENANT}/v2.0"
    keys = [
        listed(key, issuer=f"{cloud}/{{tenantid}}/v2.0"),
        listed(consumer, issuer=f"{cloud}/{ENTRA_CONSUMERS}/v2.0"),
    ]
    discovery = {"issuer": issuer, "jwks_uri": f"{cloud}/keys"}
    state.documents[f"/{TENANT}/v2.0/.well-known/openid-configuration"] = compact_json(discovery)
    state.documents["/keys"] = compact_json({"keys": keys})
    validator = Validator(trust=Trust.entra(TENANT, cloud=cloud))
    expect = Expect(audience="api://mail", token_types="JWT", scopes="Mail.Read")
    now = int(SYSTEM_CLOCK.wall())

    def token(signer: SigningKey, **changed: Any) -> str:
        claims = {"iss": issuer, "tid": TENANT, "aud": "api://mail", "sub": "s", "azp": "app", "ver": "2.0"}
        times = {"iat": now, "nbf": now, "exp": now + 3600, "scp": "Mail.Read User.Read"}
        return jws(signer, {"alg": "RS256", "kid": signer.kid, "typ": "JWT"}, {**claims, **times, **changed})

    good = validator.validate(token(key), expect)
    assert (good.issuer, good.client_id, good.scopes) == (
        issuer,
        "app",
        frozenset({"Mail.Read", "User.Read"}),
    )
    assert reason_of(validator, token(consumer), expect) is Reason.UNKNOWN_KEY
    assert reason_of(validator, token(key, tid=OTHER), expect) is Reason.ISSUER_NOT_ALLOWED
    assert (
        reason_of(validator, token(key, iss=f"{cloud}/{OTHER}/v2.0", tid=OTHER), expect)
        is Reason.ISSUER_NOT_ALLOWED
    )
    validator.close()
