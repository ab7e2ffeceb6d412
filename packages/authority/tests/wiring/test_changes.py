"""Changes that an operator makes between two starts, and requests that must change nothing."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authority_support.site import running
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import active_key

pytestmark = pytest.mark.enable_socket


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def admin(site: Sandbox, path: str, body: Any) -> tuple[int, Any]:
    connection = _Unix(site.state / "run" / "admin.sock")
    connection.request("POST", path, json.dumps(body))
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


def test_a_word_that_is_no_change_changes_nothing(site: Sandbox) -> None:
    assert admin(site, "/admin/clients/enterprise-app/frobnicate", {})[0] == 404
    assert site.token("enterprise")
