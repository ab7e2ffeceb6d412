"""A running site: who listens to security events is told of what was revoked, and acts on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from authority_support.answers import SIGNALS, SSF_SCOPES, until
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.ids import secret_digest
from sealwright.issuer.model import Client, ClientKind
from sealwright_validate import Expect, Refused, Trust, Validator
from sealwright_validate.signals import Signals
from sealwright_validate.signals.ended import Ended

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("response")]


def test_the_receiver_gets_signed_events_about_the_revocation(
    site: Sandbox, receiver: httpx.Client, attack: dict[str, Any]
) -> None:
    configuration = receiver.get("/.well-known/ssf-configuration").json()
    keys = jwt.PyJWKSet.from_dict(receiver.get(configuration["jwks_uri"]).json())
    endpoint = attack["stream"]["delivery"]["endpoint_url"]
    sets: dict[str, str] = receiver.post(endpoint, json={"returnImmediately": True}).json()["sets"]
    told = {}
    for jti, signed in sets.items():
        claims = jwt.decode(
            signed, keys.keys[0], algorithms=["RS256"], issuer=configuration["issuer"], audience=REPORTER
        )
        assert claims["jti"] == jti
        [(kind, content)] = claims["events"].items()
        told[kind.rpartition("/")[2]] = content
        assert content.get("initiating_entity", "policy") == "policy", "a rule did it"
    assert set(told) == {"session-revoked", "credential-change", "credential-compromise"}
    assert told["credential-change"]["friendly_name"] == attack["kid"]
    assert receiver.post(endpoint, json={"returnImmediately": True, "ack": list(sets)}).json()["sets"] == {}


def test_a_validator_that_listens_refuses_a_revoked_key_before_any_new_manifest(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any], tmp_path: Path
) -> None:
    assert attack
    signals = Signals(site.url, REPORTER, site.secret, state_file=tmp_path / "signals.jsonl")
    trust = Trust.fed(root=site.root, clock=site.clock)
    validator = Validator(trust=trust, signals=signals)
    expect = Expect(audience=site.audience("consumer"), realm="consumer")
    try:
        token = site.token("consumer")
        trust.feed(json.dumps(site.call("/manifest").body).encode())
        validator.start()
        assert validator.validate(token, expect).kid
        kid = jwt.get_unverified_header(token)["kid"]
        body = {"action": "revoke_key", "subject": kid, "reason": "drill", "dry": False}
        assert admin.post("/admin/act", json=body).status_code == 200

        def refused() -> str | None:
            try:
                validator.validate(token, expect)
            except Refused as refusal:
                return str(refusal.reason.value)
            return None

        assert until(refused) in {"key_revoked", "token_revoked"}
        assert until(lambda: signals.counts.acted >= 3)
        assert Ended(tmp_path / "signals.jsonl", clock=site.clock).is_ended(kid, verified(token))
    finally:
        validator.close()


def verified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_disabled_client_is_told_of_in_the_same_transaction(
    site: Sandbox, admin: httpx.Client, receiver: httpx.Client, attack: dict[str, Any]
) -> None:
    body = {"action": "disable_client", "subject": "consumer-app", "reason": "harvests"}
    assert admin.post("/admin/act", json=body).json()["done"] is False
    assert site.ask_token("consumer").status == 200
    assert admin.post("/admin/act", json=body | {"dry": False}).json()["done"] is True
    assert site.ask_token("consumer").status == 401
    endpoint = attack["stream"]["delivery"]["endpoint_url"]
    sets = receiver.post(endpoint, json={"returnImmediately": True}).json()["sets"].values()
    subjects = [jwt.decode(one, options={"verify_signature": False})["sub_id"] for one in sets]
    wanted = {"format": "iss_sub", "iss": site.config.issuer("consumer"), "sub": "consumer-app"}
    assert {"format": "complex", "application": wanted} in subjects


def test_streams_are_for_receivers_only(site: Sandbox) -> None:
    for header in ({}, {"authorization": "Bearer " + site.token()}, {"authorization": "Basic bm8="}):
        answer = httpx.get(site.url + "/ssf/stream", headers=header)
        assert answer.status_code == 401


def bearer(site: Sandbox, name: str, *scopes: str, audience: str = SIGNALS) -> httpx.Client:
    """A receiver that has an access token of ours, from the token endpoint as anybody else's."""
    site.stores.clients.add(
        Client(name, "consumer", secret_digest(site.secret), (audience,), scopes, kind=ClientKind.CLIENT)
    )
    answer = site.ask_token("consumer", **site.basic(name))
    assert answer.status == 200, answer.body
    headers = {"authorization": f"Bearer {answer.body['access_token']}"}
    return httpx.Client(base_url=site.url, headers=headers, timeout=30)


def test_a_receiver_with_an_access_token_manages_and_reads_its_stream(
    site: Sandbox, admin: httpx.Client
) -> None:
    site.stores.clients.add(Client("doomed-app", "consumer", secret_digest(site.secret), (SIGNALS,), ()))
    with bearer(site, "siem", *SSF_SCOPES) as siem, bearer(site, "reader", "ssf.read") as reader:
        made = siem.post("/ssf/stream", json={"description": "by token"})
        assert (made.status_code, made.json()["aud"]) == (201, "siem")
        stream = made.json()
        endpoint, one = stream["delivery"]["endpoint_url"], {"stream_id": stream["stream_id"]}
        assert siem.post("/ssf/verify", json=one | {"state": "are-you-there"}).status_code == 204
        disable = {"action": "disable_client", "subject": "doomed-app", "reason": "drill", "dry": False}
        assert admin.post("/admin/act", json=disable).status_code == 200
        polled = siem.post(endpoint, json={"returnImmediately": True}).json()["sets"]
        told = [jwt.decode(signed, options={"verify_signature": False}) for signed in polled.values()]
        kinds = sorted(kind.rpartition("/")[2] for claims in told for kind in claims["events"])
        assert kinds == ["session-revoked", "verification"]
        assert {claims["aud"] for claims in told} == {"siem"}
        [revoked] = [
            content for one in told for content in one["events"].values() if "reason_admin" in content
        ]
        assert revoked["initiating_entity"] == "admin", "an operator did it"
        listed = admin.get("/admin/responses").json()["responses"]
        [by_hand] = [one for one in listed if one["decision"]["subject"] == "doomed-app"]
        assert (by_hand["outcome"], by_hand["decision"]["rule"]) == ("acted", "by hand")
        assert siem.post(endpoint, json={"returnImmediately": True, "ack": list(polled)}).json()["sets"] == {}
        short = reader.post("/ssf/stream", json={})
        assert (short.status_code, short.json()["err"]) == (403, "insufficient_scope")
        assert reader.get("/ssf/stream", params=one).status_code == 404, "another's stream does not exist"
        assert siem.delete("/ssf/stream", params=one).status_code == 204


def test_an_access_token_for_something_else_opens_no_stream(site: Sandbox) -> None:
    audience = site.audience("consumer")
    with bearer(site, "mail-with-scopes", *SSF_SCOPES, audience=audience) as other:
        answer = other.post("/ssf/stream", json={})
    assert (answer.status_code, answer.json()["err"]) == (401, "invalid_token")


def test_the_key_of_security_events_is_named_in_the_audit_trail(site: Sandbox, admin: httpx.Client) -> None:
    [published] = site.call("/ssf/jwks.json").body["keys"]
    assert (published["kty"], published["alg"]) == ("RSA", "RS256")
    entries = admin.get("/admin/audit", params={"limit": 1_000}).json()["entries"]
    named = [one for one in entries if one["action"] == "signals_key"]
    assert [one["subject"] for one in named] == [published["kid"]]
    token_keys = {key.kid for key in site.stores.keys.all()}
    assert published["kid"] not in token_keys, "a key of its own"
