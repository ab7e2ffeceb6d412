"""Changes that an operator makes between two starts, and requests that must change nothing."""

from __future__ import annotations

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authority_support.site import running
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import active_key
from sealwright.keys.model import KeyState
from sealwright_validate.sealwright_source import SealwrightSource
from sealwright_validate.trust_state import TrustState

pytestmark = pytest.mark.enable_socket


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def admin(site: Sandbox, path: str, body: Any, method: str = "POST") -> tuple[int, Any]:
    connection = _Unix(site.state / "run" / "admin.sock")
    connection.request(method, path, json.dumps(body) if method == "POST" else None)
    answer = connection.getresponse()
    content = json.loads(answer.read() or b"null")
    connection.close()
    return answer.status, content


def restart(site: Sandbox, **realm_change: Any) -> None:
    """Stop everything, change the enterprise realm, start again."""
    site.stop()
    realms = site.config.realms | {
        "enterprise": msgspec.structs.replace(site.config.realms["enterprise"], **realm_change)
    }
    site.config = msgspec.structs.replace(site.config, realms=realms)
    site.start()


def test_another_algorithm_leaves_no_key_active_behind() -> None:
    with running() as site:
        before = active_key(site, "enterprise").kid
        restart(site, algorithms=("EdDSA",))
        assert active_key(site, "enterprise").algorithm == "EdDSA"
        settled = site.stores.keys.get(before)
        assert settled is not None
        assert settled.state == "verify-only"
        assert site.token("consumer")


def test_a_strict_realm_issues() -> None:
    with running() as site:
        restart(site, strict=True)
        assert site.token("enterprise")


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x", "issued_before": 99_999_999_999},
        {"reason": "x", "issued_before": 0},
        {"reason": "x", "issued_before": -5},
        {"reason": ""},
        {"reason": "x" * 300},
        {"reason": "a\nb"},
        {},
    ],
)
def test_a_revocation_that_no_manifest_could_tell_changes_nothing(
    site: Sandbox, body: dict[str, Any]
) -> None:
    kid = active_key(site, "enterprise").kid
    status, answer = admin(site, f"/admin/keys/{kid}/revoke", body)
    assert status in {400, 409}, answer
    assert active_key(site, "enterprise").kid == kid
    assert site.token("enterprise")


def listed(site: Sandbox) -> dict[str, Any]:
    return {key["kid"]: key for key in admin(site, "/admin/keys", None, "GET")[1]["keys"]}


def test_a_rotation_that_people_ask_for_stages_one_successor_for_each_active_key(site: Sandbox) -> None:
    site.token("enterprise")
    before = {realm: active_key(site, realm).kid for realm in site.config.realms}
    status, answer = admin(site, "/admin/keys/rotate", {"realm": "enterprise"})
    assert status == 200, answer
    [staged] = answer["staged"]
    keys = listed(site)
    assert keys[staged["kid"]]["state"] == "staged"
    assert staged["use_from"] - keys[staged["kid"]]["changed_at"] >= site.config.keys.lead
    assert keys[before["enterprise"]]["next_change"] == {"to": "verify-only", "at": staged["use_from"]}
    assert keys[before["enterprise"]]["last_use"] is not None
    assert {realm: active_key(site, realm).kid for realm in site.config.realms} == before
    assert admin(site, "/admin/keys/rotate", {"realm": "enterprise"})[0] == 409  # one successor is enough
    assert admin(site, "/admin/keys/rotate", {"realm": "nobody"})[0] == 404
    assert admin(site, "/admin/keys/rotate", {"reallm": "enterprise"})[0] == 400
    assert [entry["action"] for entry in admin(site, "/admin/audit", None, "GET")[1]["entries"]].count(
        "keys.rotate"
    ) >= 2
    assert site.token("enterprise")


def test_the_metrics_tell_the_age_of_keys_and_the_time_to_the_next_change(site: Sandbox) -> None:
    page = metrics(site)
    assert 'sealwright_oldest_trusted_key_seconds{realm="enterprise"}' in page
    assert 'sealwright_next_rotation_seconds{algorithm="ES256",realm="consumer"}' in page
    assert "sealwright_validator_manifest_age_seconds" in page


def metrics(site: Sandbox) -> str:
    connection = _Unix(site.state / "run" / "admin.sock")
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    connection.close()
    return page


def test_a_key_that_somebody_wrote_into_the_database_is_not_in_the_jwks(site: Sandbox) -> None:
    genuine = active_key(site, "enterprise")
    mine = "A" * 43
    jwk, state = genuine.jwk | {"kid": mine}, KeyState.VERIFY_ONLY
    site.stores.keys.add(replace(genuine, kid=mine, jwk=jwk, state=state))
    listed = {key["kid"] for key in site.call("/enterprise/jwks.json").body["keys"]}
    with site.stores.keys._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM keys WHERE kid = ?", (mine,))
    assert genuine.kid in listed
    assert mine not in listed


def served(site: Sandbox, *, newer_than: int | None = None) -> tuple[int, int]:
    """Status and version of the manifest; with `newer_than`, of the next one as soon as there is one."""
    connection = http.client.HTTPConnection("127.0.0.1", site.config.server.port, timeout=60)
    held = {"If-None-Match": f'"{newer_than}"', "Prefer": "wait=25"} if newer_than is not None else {}
    connection.request("GET", "/manifest", headers=held)
    answer = connection.getresponse()
    answer.read()
    version = int(str(answer.getheader("etag")).strip('"'))
    connection.close()
    return answer.status, version


def test_a_request_for_the_next_manifest_waits_for_it(site: Sandbox) -> None:
    _, now = served(site)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served, site, newer_than=now)
        kid = active_key(site, "consumer").kid
        assert admin(site, f"/admin/keys/{kid}/revoke", {"reason": "superseded"})[0] == 200
        status, version = waiting.result(60)
    if status == 304:  # it waited for all of its time before the revocation was through
        status, version = served(site, newer_than=now)
    assert (status, version > now) == (200, True)


def test_a_validator_without_a_stream_polls_and_learns_the_next_manifest(site: Sandbox) -> None:
    state = TrustState(site.root.read_bytes(), clock=site.clock, skew=60)
    source = SealwrightSource(state, site.url, clock=site.clock, push=True)
    source.pull()
    held = source.held
    assert held is not None
    kid = active_key(site, "consumer").kid
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.poll)
        assert admin(site, f"/admin/keys/{kid}/revoke", {"reason": "superseded"})[0] == 200
        assert waiting.result(60)
    while source.held is None or source.held.snapshot.version == held.snapshot.version:
        assert source.poll()
    source.close()


@pytest.fixture(scope="module")
def site() -> Any:
    with running() as made:
        yield made


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "abc"},
        {"keys": [1]},
        {"keys": [{"kid": "z"}]},
        {"keys": [{"kty": "oct", "k": ""}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "A", "y": "A"}]},
        {"keys": [{"kty": "EC", "d": "x"}]},
    ],
)
def test_a_client_without_a_usable_public_key_is_refused(site: Sandbox, jwks: dict[str, Any]) -> None:
    body = {"realm": "enterprise", "audiences": [site.audience("enterprise")], "jwks": jwks}
    assert admin(site, "/admin/clients", body)[0] == 409


@pytest.mark.parametrize("client_id", ["", "a b", "a\u0000b", "x" * 200])
def test_a_strange_client_id_is_refused(site: Sandbox, client_id: str) -> None:
    body = {"realm": "enterprise", "audiences": [site.audience("enterprise")], "client_id": client_id}
    assert admin(site, "/admin/clients", body)[0] == 409


def test_a_client_gets_no_scope_that_its_realm_does_not_have(site: Sandbox) -> None:
    body = {"realm": "enterprise", "audiences": [site.audience("enterprise")], "client_id": "wide"}
    status, answer = admin(site, "/admin/clients", body | {"scopes": ["mail.read", "admin.everything"]})
    assert (status, answer["error"]) == (409, "scope_not_allowed")
    assert admin(site, "/admin/clients", body | {"scopes": ["mail.read"]})[0] == 201


def test_a_word_that_is_no_change_changes_nothing(site: Sandbox) -> None:
    assert admin(site, "/admin/clients/enterprise-app/frobnicate", {})[0] == 404
    assert site.token("enterprise")
