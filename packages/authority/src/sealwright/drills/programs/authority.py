"""The sandbox's authority: the ordinary one with a shared clock and the flaws asked for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sealwright.config import Config
from sealwright.detection import judging
from sealwright.detection.model import Judgement
from sealwright.drills.clockwork import SandboxClock
from sealwright.issuer import service
from sealwright.issuer.model import Client, Grant, RealmPolicy, TokenRequest
from sealwright.keys import rules as key_rules
from sealwright.keys.model import Key, KeyState
from sealwright.logs import write_json_logs
from sealwright.response import service as response
from sealwright.wiring import outbox, startcheck
from sealwright.wiring.serve import run

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TICK = 0.1


def _renew_on_sight(request: TokenRequest, client: Client, realm: RealmPolicy, method: str) -> Grant:
    """The flaw of 2023's GetAccessTokenForResource: whoever shows a token gets a new one."""
    return Grant(
        client=client,
        subject="whoever-the-token-names",
        audiences=client.audiences[:1],
        scope=" ".join(client.scopes),
        lifetime=realm.max_lifetime,
        grant_type=request.form["grant_type"],
        authentication=method,
    )


def _break(flaws: list[str]) -> None:
    if "no-token-for-token" in flaws:
        vars(service)["GRANTS"] = {**vars(service)["GRANTS"], JWT_BEARER: _renew_on_sight}
    if "ledger-comparison" in flaws:
        vars(judging)["judge"] = lambda *_facts: Judgement()
    if "response-rule" in flaws:
        vars(response)["decide"] = lambda *_facts: []
    if "shared-signals" in flaws:
        vars(outbox)["key_revoked"] = lambda *_facts: []
    if "replacement-key" in flaws:
        _never_replace()
    if "start-check" in flaws:
        vars(startcheck)["is_small"] = lambda _store: False
        vars(startcheck)["require_sound"] = lambda _store, _directory, _cold: None
        vars(startcheck)["require_not_restored"] = lambda _store, _newest, _directory: None


def _never_replace() -> None:
    """Keys that are revoked get no successor."""
    plan = vars(key_rules)["plan"]

    def without(keys: Sequence[Key], *rest: Any) -> Any:
        return [] if any(key.state is KeyState.REVOKED for key in keys) else plan(keys, *rest)

    vars(key_rules)["plan"] = without


def main() -> None:
    """`<clock file> <flaws> <configuration as JSON>`."""
    clock = SandboxClock(Path(sys.argv[1]))
    _break(sys.argv[2].split(","))
    write_json_logs("authority", "info")
    config = msgspec.json.decode(sys.argv[3], type=Config)
    asyncio.run(run(config, clock, TICK))


if __name__ == "__main__":
    main()
