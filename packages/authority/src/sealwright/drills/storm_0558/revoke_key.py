"""Step 5, the answer: revoke the stolen key, and see the last validator refuse, also one that is cut off."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator

import msgspec

from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import (
    ACCEPTED,
    active_key,
    judged,
    validator,
    verdict,
    without_memory,
    without_step,
)
from sealwright.errors import Unavailable
from sealwright_validate import Refused, Trust, Validator

STEP = "5-revoke"
VALIDATORS = 20
PATIENCE = 5.0
"""Seconds until the last must refuse here. The promise of one second (p99) is measured in `bench/`, on a
quiet host; a validator that only pulls needs some thirty."""


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Twenty connected validators, one that is cut off, one that is shown an old manifest."""
    key = active_key(sandbox, "enterprise")
    token = sandbox.token("enterprise")
    old = json.dumps(sandbox.call("/manifest").body).encode()
    push = Control.REVOCATION_PUSH not in sandbox.flaws
    with contextlib.ExitStack() as stack:
        checkers = [stack.enter_context(validator(sandbox, push=push)) for _ in range(VALIDATORS)]
        for checker in checkers:
            _require_accepted(verdict(checker, token, "enterprise", sandbox.audience("enterprise")))
        took = _revoke_and_watch(sandbox, key.kid, checkers, token)
        held = took is not None
        observed = f"after {took:.2f} s" if took is not None else f"some still accept after {PATIENCE:.0f} s"
        attack = f"revoke the stolen key: until the last of {VALIDATORS} connected validators refuses"
        expected = f"within {PATIENCE:.0f} s"
        yield Finding(f"{STEP}-push", attack, Control.REVOCATION_PUSH, expected, observed, held=held)
    yield _played_back(sandbox, old)
    yield _cut_off(sandbox)


def _require_accepted(observed: str) -> None:
    if observed != ACCEPTED:
        raise Unavailable("drill_stuck", f"a genuine token is refused before the attack: {observed}")


def _revoke_and_watch(sandbox: Sandbox, kid: str, checkers: list[Validator], token: str) -> float | None:
    began = time.monotonic()
    _admin(sandbox, f"/admin/keys/{kid}/revoke", {"reason": "key_compromise"})
    accepting = list(checkers)
    while accepting and time.monotonic() - began < PATIENCE:
        accepting = [
            checker
            for checker in accepting
            if verdict(checker, token, "enterprise", sandbox.audience("enterprise")) == ACCEPTED
        ]
    return None if accepting else time.monotonic() - began


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the admin socket; http.client offers no other way than a subclass."""

    def __init__(self, path: str) -> None:
        super().__init__("admin", timeout=30)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _admin(sandbox: Sandbox, path: str, body: dict[str, str]) -> None:
    connection = _UnixConnection(str(sandbox.state / "run" / "admin.sock"))
    try:
        connection.request("POST", path, msgspec.json.encode(body))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise Unavailable("drill_stuck", f"{path}: {answer.status}", content.decode(errors="replace"))
    finally:
        connection.close()


def _cut_off(sandbox: Sandbox) -> Finding:
    """A validator that hears nothing more: what it knows ends with its manifest."""
    sandbox.wait_ready()
    token = sandbox.token("enterprise")
    trust = Trust.fed(root=sandbox.root, clock=sandbox.clock)
    checker = Validator(trust=trust)
    try:
        trust.feed(json.dumps(sandbox.call("/manifest").body).encode())
        audience = sandbox.audience("enterprise")
        _require_accepted(verdict(checker, token, "enterprise", audience))
        sandbox.clock.advance(sandbox.config.manifest.life + 30)
        with without_step(sandbox, Control.FAIL_CLOSED, "require_fresh_publication"):
            observed = verdict(checker, token, "enterprise", audience)
    finally:
        checker.close()
    attack = "cut a validator off from the authority and wait until its manifest has expired"
    return judged(f"{STEP}-cut-off", attack, Control.FAIL_CLOSED, "manifest_stale", observed)


def _played_back(sandbox: Sandbox, old: bytes) -> Finding:
    """The manifest from before the revocation: well signed, not yet expired, and older than one already
    seen.
    """
    trust = Trust.fed(root=sandbox.root, clock=sandbox.clock)
    observed = ACCEPTED
    with without_memory(sandbox):
        trust.feed(json.dumps(sandbox.call("/manifest").body).encode())
        try:
            trust.feed(old)
        except Refused as refusal:
            observed = str(refusal.reason.value)
    attack = "play the manifest from before the revocation back to a validator that has seen a newer one"
    control = Control.ROLLBACK_PROTECTION
    return judged(f"{STEP}-played-back", attack, control, "manifest_rolled_back", observed)
