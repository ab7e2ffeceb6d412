"""A running site: from a forged token that is reported to a revoked key that receivers know of."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import jwt
import msgspec
import pytest

from authority_support.site import running
from sealwright.cli.main import main
from sealwright.config.model import AlarmsConfig, DetectionConfig, ManifestConfig, ResponseConfig
from sealwright.detection.model import Alarm
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.ledger.model import EventLeaf, parse_leaf
from sealwright.wiring.search import search
from sealwright_validate import Expect, Refused, Report, Trust, Validator
from sealwright_validate.signals import Signals
from sealwright_validate.signals.ended import Ended

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("response")]
PATIENCE = 60.0
T = TypeVar("T")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    file = tmp_path_factory.mktemp("alarms") / "ocsf.jsonl"
    rules = ResponseConfig(revoke_stolen_key="act", strict_while_forged="suggest")
    # Nothing here may happen by itself: no search at its time, no manifest that expires under load.
    quiet = DetectionConfig(every=3_600)
    slow = ManifestConfig(life=600)
    with running(response=rules, alarms=AlarmsConfig(file=str(file)), detection=quiet, manifest=slow) as made:
        yield made


@pytest.fixture(scope="module")
def admin(site: Sandbox) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://admin", timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def receiver(site: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, auth=(REPORTER, site.secret), timeout=30) as client:
        yield client


def until(look: Callable[[], T | None]) -> T:
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def attack(site: Sandbox, admin: httpx.Client, receiver: httpx.Client) -> dict[str, Any]:
    """A receiver listens; a relying party reports a token that has our signature and no leaf."""
    stream = receiver.post("/ssf/stream", json={"delivery": {"method": "urn:ietf:rfc:8936"}}).json()
    header = jwt.get_unverified_header(site.token())
    digest = secrets.token_hex(32)
    one = {
        "id": secrets.token_hex(16),
        "at": time.time(),  # noqa: TID251 - the report's own time
        "verdict": "accepted",
        "signature": "valid",
        "digest": digest,
        "kid": header["kid"],
        "iss": site.config.issuer("enterprise"),
        "aud": [site.audience("enterprise")],
    }
    report = {"validator": {"name": "mail", "instance": "i-1"}, "observations": [one]}
    answer = receiver.post("/observations", json=report)
    assert answer.status_code == 202, answer.text
    until(lambda: _acted(admin))
    return {"stream": stream, "kid": header["kid"], "digest": digest}


def _acted(admin: httpx.Client) -> list[Any]:
    told = admin.get("/admin/responses").json()["responses"]
    return [one for one in told if one["outcome"] == "acted"]


def test_the_rule_that_may_act_has_revoked_the_key_after_a_preview(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any]
) -> None:
    [acted] = _acted(admin)
    assert acted["decision"]["subject"] == attack["kid"]
    assert acted["preview"]["live_tokens"] >= 1
    key = site.stores.keys.get(attack["kid"])
    assert key is not None
    assert key.state == "revoked"


def test_the_rule_that_may_only_suggest_has_suggested(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any]
) -> None:
    assert attack
    told = admin.get("/admin/responses").json()["responses"]
    [suggested] = [one for one in told if one["decision"]["action"] == "require_strict"]
    assert (suggested["outcome"], suggested["decision"]["subject"]) == ("suggested", "enterprise")
    path = f"/admin/responses/{suggested['id']}/apply"
    assert admin.post(path, json={"dry": True}).json()["done"] is False
    assert strict_realms(site) == []
    assert admin.post(path, json={"dry": False}).json()["done"] is True
    until(lambda: strict_realms(site) == ["enterprise"])
    assert admin.post(path, json={"dry": False}).json()["error"] == "already_done"
    assert admin.post("/admin/realms/enterprise/relax").status_code == 200
    until(lambda: strict_realms(site) == [] or None)


def test_a_dry_run_refuses_what_there_is_not(site: Sandbox, admin: httpx.Client) -> None:
    for action in ("revoke_key", "disable_client", "require_strict", "end_family"):
        body = {"action": action, "subject": "nosuch", "reason": "drill"}
        dry, done = (admin.post("/admin/act", json=body | {"dry": dry}) for dry in (True, False))
        assert dry.status_code >= 400, action
        assert dry.json() == done.json(), action
    for command in ("keys rotate --realm x", "respond send x --out x", "respond playbook storm-0558 --key x"):
        assert main([*command.split(), "--state", str(site.state)]) == 2, command


def strict_realms(site: Sandbox) -> list[str]:
    payload = site.call("/manifest").body["manifest"].split(".")[1]
    manifest = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return list(manifest["strict_realms"])


def test_the_audit_entry_of_the_act_has_a_leaf_in_the_ledger(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any]
) -> None:
    entries = admin.get("/admin/audit", params={"limit": 1_000}).json()["entries"]
    [entry] = [one for one in entries if one["actor"] == "rule:revoke-stolen-key"]
    assert (entry["action"], entry["subject"]) == ("revoke_key", attack["kid"])

    def stated() -> bool:
        leaves = [
            parse_leaf(stored.leaf)
            for log in site.stores.ledger.logs()
            for stored in site.stores.ledger.entries(log.log_id, 0, log.size)
        ]
        return any(
            isinstance(leaf, EventLeaf) and leaf.members.get("digest") == entry["digest"] for leaf in leaves
        )

    until(stated)


def test_the_incident_has_the_alarm_and_the_responses_in_its_timeline(
    admin: httpx.Client, attack: dict[str, Any]
) -> None:
    incidents = admin.get("/admin/incidents").json()["incidents"]
    [incident] = [one for one in incidents if one["about"] == f"key {attack['kid']}"]
    shown = admin.get(f"/admin/incidents/{incident['id']}").json()
    assert {entry["what"] for entry in shown["timeline"]} == {"alarm", "response"}
    assert shown["timeline"][0]["code"] == "never_issued"
    assert admin.get("/admin/incidents/none").status_code == 404


def test_figures_count_alarms_and_incidents(admin: httpx.Client, attack: dict[str, Any]) -> None:
    assert attack

    def counted() -> bool:
        page = admin.get("/metrics").text
        return (
            'sealwright_alarms_total{code="never_issued",severity="critical"} 1.0' in page
            and 'sealwright_incidents_total{severity="critical"} 1.0' in page
            and 'sealwright_incidents_open{severity="critical"} 1.0' in page
        )

    until(counted)


def test_the_alarm_is_in_the_file_as_an_event(site: Sandbox, attack: dict[str, Any]) -> None:
    def events() -> list[Any]:
        try:
            with open(site.config.alarms.file, encoding="utf-8") as file:  # noqa: PTH123 - a name from a config
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []

    told = until(events)
    assert {event["class_uid"] for event in told} == {2004}
    assert attack["digest"] in msgspec.json.encode(told).decode()


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


@pytest.mark.slow
def test_history_is_searched_and_finds_nothing_among_genuine_tokens(
    site: Sandbox, attack: dict[str, Any]
) -> None:
    pytest.importorskip("ibis", reason="EXTRA ABSENT: sealwright[detect]")
    token = site.token()
    until(lambda: not site.stores.observations.unjudged())  # what is not judged yet is exported next time
    told = search(site.config, site.clock)
    assert told.exported["issued"] >= 1
    assert told.exported["observed"] == 1
    genuine = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    alarms = [stored.alarm for stored in site.stores.alarms.page(0, 1_000)]
    assert genuine not in {alarm.digest for alarm in alarms}
    assert attack["digest"] in {alarm.digest for alarm in alarms}
    assert search(site.config, site.clock).exported.get("observed") is None


@pytest.mark.slow
def test_a_planted_token_that_is_used_raises_an_alarm_on_arrival(
    site: Sandbox,
    admin: httpx.Client,
    attack: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert attack
    token = site.token("enterprise")
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    asked = ["canaries", "plant", "token", digest, "--note", "a", "--state", str(site.state)]
    assert main(asked) == 0
    assert admin.get("/admin/canaries").json()["canaries"] == [], "dry"
    monkeypatch.setattr("sys.stdin", io.StringIO(token + "\n"))
    assert main(["canaries", "plant", "token", "-", "--apply", "--state", str(site.state)]) == 0
    assert main([*asked, "--apply"]) == 2, "planted once"
    trust = Trust.sealwright(site.url, root=site.root)
    validator = Validator(trust=trust, report=Report(REPORTER, site.secret, name="mail"))
    try:
        validator.start()
        validator.validate(token, Expect(audience=site.audience("enterprise"), realm="enterprise"))
    finally:
        validator.close()

    def found() -> list[Alarm]:
        alarms = [stored.alarm for stored in site.stores.alarms.page(0, 1_000)]
        return [alarm for alarm in alarms if alarm.code == "canary_token"]

    until(lambda: bool(found()))  # nobody has searched history
    assert [(alarm.digest, alarm.reporter) for alarm in found()] == [(digest, REPORTER)]
    capsys.readouterr()
    assert main(["canaries", "list", "--state", str(site.state)]) == 0
    assert digest in capsys.readouterr().out


@pytest.mark.slow
def test_the_playbook_is_dry_until_told_otherwise(
    site: Sandbox, admin: httpx.Client, attack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    before = changes(admin)
    asked = ["respond", "playbook", "storm-0558", "--state", str(site.state), "--key", attack["kid"]]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "(unknown): 1 touched" in told, "what would be told to whom"
    for number, name in enumerate(STEPS, 1):
        assert f"\n{number}. {name}:" in told
    assert "dry: nothing is changed" in told
    assert "touched: 1 subjects" in told
    assert changes(admin) == before
    assert main([*asked, "--step", "contain", "--apply"]) == 0
    assert strict_realms(site) == ["enterprise"]
    assert main([*asked, "--step", "recover", "--apply"]) == 0
    assert strict_realms(site) == []
    assert main([*asked, "--step", "dance"]) == 2


def changes(admin: httpx.Client) -> list[Any]:
    """What was done, as the audit trail has it; looks and what the authority says of itself are in it too."""
    entries = admin.get("/admin/audit", params={"limit": 1_000}).json()["entries"]
    return [entry for entry in entries if entry["action"] not in {"admin.read", "policy_in_force"}]


STEPS = ("detect", "contain", "scope", "revoke", "verify", "notify", "recover")


@pytest.mark.slow
def test_notices_need_two_operators_and_can_be_checked_by_who_gets_them(
    site: Sandbox,
    admin: httpx.Client,
    attack: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("duckdb", reason="EXTRA ABSENT: sealwright[detect]")
    [incident] = [
        one for one in admin.get("/admin/incidents").json()["incidents"] if attack["kid"] in one["about"]
    ]
    place = ["--out", str(tmp_path), "--state", str(site.state)]
    asked = ["respond", "notify", "--key", attack["kid"], "--incident", incident["id"], "--operator", "ann"]
    assert main([*asked, *place, "--apply"]) == 0
    request = capsys.readouterr().out.partition(":")[0]
    agree, state = ["respond", "consent", request, "--operator"], ["--state", str(site.state)]
    assert main([*agree, "ann", *state]) == 0
    assert main(["respond", "send", request, *place, "--apply"]) == 2, "one operator twice"
    assert main([*agree, "bob", *state]) == 0
    assert main(["respond", "send", "nosuch", *place]) == 2, "a dry run promises nothing of no request"
    assert main(["respond", "send", request, *place]) == 0
    assert main(["respond", "send", request, *place, "--apply"]) == 0
    keys = jwt.PyJWKSet.from_dict(site.call("/notices/jwks.json").body)
    [file] = tmp_path.glob("*.jws")
    claims = jwt.decode(file.read_text().strip(), keys.keys[0], algorithms=["EdDSA"])
    assert (claims["subjects_touched"], claims["incident"]) == (1, incident["id"])
    deliveries = admin.get(f"/admin/notices/{claims['id']}/deliveries").json()["deliveries"]
    assert [one["channel"] for one in deliveries] == ["file"]
    assert main(["respond", "send", request, *place, "--apply"]) == 2, "an approval is used once"


@pytest.mark.parametrize("asked", [["incidents", "list"], ["respond", "list"]])
def test_what_happened_is_shown_on_the_command_line(
    site: Sandbox, attack: dict[str, Any], capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    assert main([*asked, "--state", str(site.state)]) == 0
    assert attack["kid"] in capsys.readouterr().out.replace("\n", "")
    assert main([*asked, "--json", "--state", str(site.state)]) == 0
    assert attack["kid"] in capsys.readouterr().out
