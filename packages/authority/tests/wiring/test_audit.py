"""Whoever asks or changes something leaves a leaf; no log line tells a secret."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from authority_support.site import running
from sealwright.admin.model import AuditEntry
from sealwright.drills.sandbox import Sandbox
from sealwright.ledger.model import EventLeaf, parse_leaf
from sealwright.wiring.policy import policy_digest

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("authority")]
SUBJECT = "zaphod.beeblebrox@example.org"


@pytest.fixture(scope="module")
def site() -> Iterator[Sandbox]:
    with running() as made:
        yield made


@pytest.fixture
def admin(site: Sandbox) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(site.state / "run" / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://admin", timeout=60) as client:
        yield client


def trail(site: Sandbox) -> list[AuditEntry]:
    return site.stores.audit.page(0, 1_000)


def digests(site: Sandbox, kind: str) -> set[str]:
    found = set()
    for log in site.stores.ledger.logs():
        for entry in site.stores.ledger.entries(log.log_id, 0, log.size):
            leaf = parse_leaf(entry.leaf)
            if isinstance(leaf, EventLeaf) and leaf.members.get("type") == kind:
                found.add(leaf.members["digest"])
    return found


def until_stated(site: Sandbox, kind: str, digest: str) -> None:
    deadline = time.monotonic() + 60
    while digest not in digests(site, kind):
        assert time.monotonic() < deadline, f"no {kind} leaf has this digest"
        time.sleep(0.1)


def request_digest(method: str, path: str, query: str = "", body: bytes = b"") -> str:
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), query.encode(), body))).hexdigest()


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/audit", "/admin/clients", "/admin/alarms"])
def test_every_read_is_a_leaf_with_who_when_what_and_the_requests_digest(
    site: Sandbox, admin: httpx.Client, path: str
) -> None:
    assert admin.get(path, params={"limit": "7"}).status_code == 200
    [entry] = [one for one in trail(site) if (one.action, one.subject) == ("admin.read", path)]
    assert entry.actor.startswith("operator:uid-")
    assert entry.details["request_digest"] == request_digest("GET", path, "limit=7")
    until_stated(site, "audit", entry.digest)


def test_figures_are_read_without_a_trace(site: Sandbox, admin: httpx.Client) -> None:
    before = len(trail(site))
    assert admin.get("/metrics").status_code == 200
    assert admin.get("/admin/status").status_code == 200
    assert len(trail(site)) == before


def test_a_key_operation_is_a_leaf_with_the_digest_of_what_was_asked(
    site: Sandbox, admin: httpx.Client
) -> None:
    keys = admin.get("/admin/keys").json()["keys"]
    kid = next(key["kid"] for key in keys if key["realm"] == "consumer")
    body = b'{"reason":"key_compromise"}'
    path = f"/admin/keys/{kid}/revoke"
    assert admin.post(path, content=body).status_code < 300
    [entry] = [one for one in trail(site) if one.action == "keys.revoke"]
    assert entry.subject == kid
    assert entry.details["request_digest"] == request_digest("POST", path, body=body)
    until_stated(site, "audit", entry.digest)


def test_a_body_without_end_is_refused(admin: httpx.Client) -> None:
    assert admin.post("/admin/clients", content=b"x" * (4 * 1024 * 1024 + 1)).status_code == 413


def test_the_policy_in_force_and_each_admission_are_leaves(site: Sandbox) -> None:
    until_stated(site, "policy", policy_digest(site.config))
    deadline = time.monotonic() + 60
    while "policy_in_force" not in {entry.action for entry in trail(site)}:  # written down after the leaf
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for admission in site.stores.admissions.open():
        until_stated(site, "admission", hashlib.sha256(admission.statement.encode()).hexdigest())


def test_no_log_line_tells_a_token_a_secret_or_a_person(site: Sandbox, admin: httpx.Client) -> None:
    token = site.token()
    wrong = base64.b64encode(f"{SUBJECT}:{site.secret}".encode()).decode()
    with httpx.Client(base_url=site.url, timeout=60) as http:
        endpoint = "/enterprise/oauth2/token"
        form = {"grant_type": "client_credentials"}
        http.post(endpoint, data=form, headers={"Authorization": f"Basic {wrong}"})
        http.post(endpoint, data=form | {"client_id": SUBJECT, "client_secret": site.secret})
        http.post(endpoint, data={"grant_type": "password", "username": SUBJECT, "password": site.secret})
        http.get(f"/ledger/proof?jti={token}")
        http.get("/manifest", headers={"Authorization": f"Bearer {token}"})
        http.post("/observations", content=token, headers={"Authorization": f"Bearer {token}"})
        http.post("/ledger/check", content=f'{{"jti":"{token}","digest":"{SUBJECT}","kid":""}}')
    admin.get(f"/admin/{token}", headers={"Authorization": f"Bearer {token}"})
    secrets = [site.secret, wrong, SUBJECT, *token.split(".")[1:]]
    lines = [line for file in (site.state / "log").iterdir() for line in file.read_text().splitlines()]
    assert lines
    for line in lines:
        assert not [secret for secret in secrets if secret in line], line[:200]
        assert not re.search(r"eyJ[A-Za-z0-9_-]{20,}\.eyJ", line), line[:200]
        assert "PRIVATE KEY" not in line
