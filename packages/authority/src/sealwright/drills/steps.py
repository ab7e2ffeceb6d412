"""What several steps of an attack need: waiting, moving time, validators, verdicts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sealwright_validate.trust_state
import sealwright_validate.validate
from sealwright.detection.model import StoredAlarm
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import PATIENCE, PAUSE, REPORTER, Sandbox
from sealwright.errors import Unavailable as NotReady
from sealwright.keys.model import Key, KeyState
from sealwright.keys.rules import HANDOVER
from sealwright_validate import Expect, Refused, Report, Trust, Unavailable, Validator

T = TypeVar("T")
ACCEPTED = "accepted"


def wait_for(look: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """What `look` returns as soon as it is not None.

    Raises:
        Unavailable: it did not come to pass.
    """
    until = time.monotonic() + patience
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > until:
            raise NotReady("drill_stuck", f"the sandbox did not get to: {what}")
        time.sleep(PAUSE)


def key_in(sandbox: Sandbox, realm: str, state: KeyState) -> Key | None:
    """The key of a realm that is in a state."""
    keys = sandbox.stores.keys.unretired()
    return next((key for key in keys if key.realm == realm and key.state is state), None)


def active_key(sandbox: Sandbox, realm: str) -> Key:
    """The realm's active key."""
    return wait_for(lambda: key_in(sandbox, realm, KeyState.ACTIVE), f"an active key of {realm}")


def rotate(sandbox: Sandbox) -> None:
    """Let the keys' hours pass until every realm has its next key."""
    realms = sorted(sandbox.config.realms)
    before = {realm: active_key(sandbox, realm) for realm in realms}
    soonest = min(key.use_until for key in before.values())
    lead = sandbox.config.keys.lead
    sandbox.clock.advance(soonest - HANDOVER - lead + 2 - sandbox.clock.now())
    staged = [
        wait_for(lambda realm=realm: key_in(sandbox, realm, KeyState.STAGED), f"a staged key of {realm}")  # type: ignore[misc] # bound at once
        for realm in realms
    ]
    sandbox.clock.advance(max(key.use_from for key in staged) + 2 - sandbox.clock.now())
    for key in staged:
        wait_for(lambda key=key: _is_active(sandbox, key), f"the next active key of {key.realm}")  # type: ignore[misc] # bound at once


def _is_active(sandbox: Sandbox, key: Key) -> Key | None:
    current = sandbox.stores.keys.get(key.kid)
    return current if current is not None and current.state is KeyState.ACTIVE else None


@contextlib.contextmanager
def validator(
    sandbox: Sandbox, *, mode: str = "async", report: bool = False, push: bool = True
) -> Iterator[Validator]:
    """A relying party's validator, ready."""
    trust = Trust.sealwright(sandbox.url, root=sandbox.root, clock=sandbox.clock, push=push)
    credentials = Report(REPORTER, sandbox.secret, name="drill") if report else None
    made = Validator(trust=trust, mode=mode, report=credentials)
    try:
        made.start()
        wait_for(lambda: made.health().ready or None, "a validator with keys")
        yield made
    finally:
        made.close()


def verdict(checker: Validator, token: str, realm: str, audience: str) -> str:
    """`accepted`, or the reason of the refusal."""
    try:
        checker.validate(token, Expect(audience=audience, realm=realm))
    except Refused as refusal:
        return str(refusal.reason.value)
    except Unavailable as error:
        return f"unavailable: {error}"
    return ACCEPTED


def judged(step: str, attack: str, control: Control | None, expected: str, observed: str) -> Finding:
    """A finding that held when what was observed is what was expected."""
    return Finding(step, attack, control, expected, observed, held=observed == expected)


@contextlib.contextmanager
def without_step(sandbox: Sandbox, control: Control, *names: str) -> Iterator[None]:
    """In a sandbox with that flaw, a validator in which these steps are missing. No option can do this."""
    module = vars(sealwright_validate.validate)
    before = module["TRUST_STEPS"]
    if control in sandbox.flaws:
        module["TRUST_STEPS"] = tuple(step for step in before if step.__name__ not in names)
    try:
        yield
    finally:
        module["TRUST_STEPS"] = before


@contextlib.contextmanager
def without_memory(sandbox: Sandbox) -> Iterator[None]:
    """In a sandbox with that flaw, a validator that forgets which manifest it saw."""
    module = vars(sealwright_validate.trust_state)
    before = module["open_manifest"]
    if Control.ROLLBACK_PROTECTION in sandbox.flaws:
        module["open_manifest"] = lambda root, document, _seen, **times: before(root, document, None, **times)
    try:
        yield
    finally:
        module["open_manifest"] = before


def alarm_about(sandbox: Sandbox, digest: str) -> StoredAlarm | None:
    """The alarm that names this token, if there is one."""
    alarms = sandbox.stores.alarms.page(0, 1_000)
    return next((stored for stored in alarms if stored.alarm.digest == digest), None)
