"""Step 6, the answer: revoke the stolen key, and see the last validator refuse, also one that is cut off."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.drills.steps import (
    ACCEPTED,
    active_key,
    judged,
    validator,
    verdict,
    wait_for,
    without_memory,
    without_step,
)
from sealwright.errors import Unavailable
from sealwright_validate import Refused, Trust, Validator
from sealwright_validate.signals import Signals

STEP = "6-revoke"
VALIDATORS = 20
PATIENCE = 5.0
"""Seconds until the last must refuse here. The promise of one second (p99) is measured in `bench/`, on a
quiet host; a validator that only pulls needs some thirty."""


ANSWER = 15.0
"""Seconds until a rule must have suggested, and a receiver heard. Measured in `bench/` as well."""


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Twenty connected validators, one that is cut off, one that is shown an old manifest."""
    key = active_key(sandbox, "enterprise")
    token = sandbox.token("enterprise")
    push = Control.REVOCATION_PUSH not in sandbox.flaws
    yield _suggested(sandbox, key.kid)
    with contextlib.ExitStack() as stack:
        checkers = [stack.enter_context(validator(sandbox, push=push)) for _ in range(VALIDATORS)]
        for checker in checkers:
            _require_accepted(verdict(checker, token, "enterprise", sandbox.audience("enterprise")))
        old = json.dumps(sandbox.call("/manifest").body).encode()  # the newest: it lives for a minute
        listener = stack.enter_context(_listening(sandbox, old))
        _require_accepted(verdict(listener, token, "enterprise", sandbox.audience("enterprise")))
        took = _revoke_and_watch(sandbox, key.kid, checkers, token)
        held = took is not None
        observed = f"after {took:.2f} s" if took is not None else f"some still accept after {PATIENCE:.0f} s"
        attack = f"revoke the stolen key: until the last of {VALIDATORS} connected validators refuses"
        expected = f"within {PATIENCE:.0f} s"
        yield Finding(f"{STEP}-push", attack, Control.REVOCATION_PUSH, expected, observed, held=held)
        yield _heard(sandbox, listener, token)
    yield _played_back(sandbox, old)
    yield _cut_off(sandbox)


def _suggested(sandbox: Sandbox, kid: str) -> Finding:
    """The rules have looked at the alarm: what they suggest, and what that would touch."""
    try:
        found = wait_for(lambda: _suggestion(sandbox, kid), "a suggestion", ANSWER)
    except Unavailable:
        observed = "nothing suggested"
    else:
        observed = "revoke_key, with what it touches" if found["preview"]["live_tokens"] else "no preview"
    attack = "what do the response rules say about the alarm, before anyone acts?"
    expected = "revoke_key, with what it touches"
    return judged(f"{STEP}-suggested", attack, Control.RESPONSE_RULE, expected, observed)


def _suggestion(sandbox: Sandbox, kid: str) -> Any:
    for one in _admin(sandbox, "GET", "/admin/responses")["responses"]:
        decision = one["decision"]
        if (decision["action"], decision["subject"]) == ("revoke_key", kid):
            return one
    return None


@contextlib.contextmanager
def _listening(sandbox: Sandbox, manifest: bytes) -> Iterator[Validator]:
    """A validator that gets no manifest any more, and listens to security events."""
    trust = Trust.fed(root=sandbox.root, clock=sandbox.clock)
    trust.feed(manifest)
    file = sandbox.state / "relying-party" / "signals.jsonl"
    signals = Signals(sandbox.url, REPORTER, sandbox.secret, state_file=file, clock=sandbox.clock)
    checker = Validator(trust=trust, signals=signals)
    try:
        checker.start()
        # The stream must be there before the revocation, or there would be nobody to tell.
        wait_for(lambda: sandbox.stores.streams.streams() or None, "a stream of the receiver")
        yield checker
    finally:
        checker.close()


def _heard(sandbox: Sandbox, listener: Validator, token: str) -> Finding:
    audience = sandbox.audience("enterprise")

    def refused() -> str | None:
        observed = verdict(listener, token, "enterprise", audience)
        return None if observed == ACCEPTED else observed

    try:
        observed = wait_for(refused, "a refusal", ANSWER)
    except Unavailable:
        observed = ACCEPTED
    attack = "a relying party that gets no new manifest, and listens to security events"
    expected = "key_revoked or token_revoked"
    held = observed in {"key_revoked", "token_revoked"}
    return Finding(f"{STEP}-signals", attack, Control.SHARED_SIGNALS, expected, observed, held=held)


def _require_accepted(observed: str) -> None:
    if observed != ACCEPTED:
        raise Unavailable("drill_stuck", f"a genuine token is refused before the attack: {observed}")


def _revoke_and_watch(sandbox: Sandbox, kid: str, checkers: list[Validator], token: str) -> float | None:
    began = time.monotonic()
    suggestion = _suggestion(sandbox, kid)
    if suggestion is not None:
        _admin(sandbox, "POST", f"/admin/responses/{suggestion['id']}/apply", {"dry": False})
    else:
        _admin(sandbox, "POST", f"/admin/keys/{kid}/revoke", {"reason": "key_compromise"})
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


def _admin(sandbox: Sandbox, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    connection = _UnixConnection(str(sandbox.state / "run" / "admin.sock"))
    try:
        connection.request(method, path, msgspec.json.encode(body) if body is not None else None)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise Unavailable("drill_stuck", f"{path}: {answer.status}", content.decode(errors="replace"))
        return msgspec.json.decode(content)
    finally:
        connection.close()


def _cut_off(sandbox: Sandbox) -> Finding:
    """A validator that hears nothing more: what it knows ends with its manifest."""
    token = sandbox.token("consumer")
    trust = Trust.fed(root=sandbox.root, clock=sandbox.clock)
    checker = Validator(trust=trust)
    try:
        trust.feed(json.dumps(sandbox.call("/manifest").body).encode())
        audience = sandbox.audience("consumer")
        _require_accepted(verdict(checker, token, "consumer", audience))
        sandbox.clock.advance(sandbox.config.manifest.life + 30)
        with without_step(sandbox, Control.FAIL_CLOSED, "require_fresh_publication"):
            observed = verdict(checker, token, "consumer", audience)
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
