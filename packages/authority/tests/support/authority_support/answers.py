"""What tests of the answer to an alarm ask a running site."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from sealwright.drills.sandbox import Sandbox

PATIENCE = 60.0
SIGNALS = "https://signals.example"
"""The audience of access tokens for the transmitter."""
SSF_SCOPES = ("ssf.manage", "ssf.read")
T = TypeVar("T")


def until(look: Callable[[], T | None]) -> T:
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def acted(admin: httpx.Client) -> list[Any]:
    told = admin.get("/admin/responses").json()["responses"]
    return [one for one in told if one["outcome"] == "acted"]


def strict_realms(site: Sandbox) -> list[str]:
    payload = site.call("/manifest").body["manifest"].split(".")[1]
    manifest = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return list(manifest["strict_realms"])


def report_forged(site: Sandbox, receiver: httpx.Client, kid: str) -> str:
    """Report, as the relying party, a token that has our signature and no leaf; returns its digest."""
    digest = secrets.token_hex(32)
    one = {
        "id": secrets.token_hex(16),
        "at": time.time(),  # noqa: TID251 - the report's own time
        "verdict": "accepted",
        "signature": "valid",
        "digest": digest,
        "kid": kid,
        "iss": site.config.issuer("enterprise"),
        "aud": [site.audience("enterprise")],
        "tenant": "contoso",
        "sub_digest": hashlib.sha256(b"minister").hexdigest(),
        "resource": "mailbox/minister",
    }
    report = {"validator": {"name": "mail", "instance": "i-1"}, "observations": [one]}
    answer = receiver.post("/observations", json=report)
    assert answer.status_code == 202, answer.text
    return digest
