"""Step 5, the blast radius: among genuine uses, exactly those that were forged are listed as touched.

The relying party reports with tenant and mailbox, as it may; the forged tokens are used for known subjects.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import msgspec

from sealwright.drills.forger import claims_of, forged_claims, stolen_keys
from sealwright.drills.model import Control, Finding
from sealwright.drills.sandbox import REPORTER, Sandbox
from sealwright.drills.steps import active_key, wait_for
from sealwright.errors import Unavailable
from sealwright.ledger.model import Entry, Log
from sealwright.response.affected import Question, Scope

STEP = "5-scope"
GENUINE = 12
VICTIMS = {"minister": "contoso", "treasurer": "contoso", "envoy": "fabrikam"}
"""For whom tokens are forged here, and their tenants."""
DAY = 86_400.0
NOT_INSTALLED = "not shown: install sealwright[detect]"


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Use forged tokens among genuine ones, then ask who was touched."""
    attack = f"use {len(VICTIMS)} forged tokens among {GENUINE} genuine ones, and ask who was touched"
    if find_spec("duckdb") is None:
        yield Finding(STEP, attack, None, NOT_INSTALLED, NOT_INSTALLED, held=True)
        return
    key = active_key(sandbox, "enterprise")
    stolen, genuine = stolen_keys(sandbox.leak)[key.kid], sandbox.token("enterprise")
    uses = [(sandbox.token("enterprise"), "contoso", "mailbox/app") for _ in range(GENUINE)]
    for subject, tenant in VICTIMS.items():
        claims = forged_claims(claims_of(genuine), sandbox.clock.now()) | {"sub": subject}
        uses.append((stolen.forge(claims), tenant, f"mailbox/{subject}"))
    _report(sandbox, key.kid, uses)
    found = blast_radius(sandbox, key.kid)
    wanted = {_digest(subject) for subject in (*VICTIMS, "ambassador")}
    touched = {row.sub_digest for row in found.touched}
    observed = "exactly the forged uses" if touched == wanted else f"{len(touched)} subjects listed"
    expected = "exactly the forged uses"
    yield Finding(STEP, attack, Control.BLAST_RADIUS, expected, observed, held=touched == wanted)


def blast_radius(sandbox: Sandbox, kid: str) -> Scope:
    """The scope of a key, from a fresh export of everything that is known."""
    from sealwright.detection.engine import DuckEngine
    from sealwright.detection.export import export
    from sealwright.response.scope import scope

    stores, lake = sandbox.stores, sandbox.config.lake
    ledger = _NoLedger() if Control.BLAST_RADIUS in sandbox.flaws else stores.ledger
    export(lake, ledger, stores.keys, stores.observations)
    engine = DuckEngine(lake)
    try:
        now = sandbox.clock.now()
        return scope(engine.tables(), Question(kid=kid, since=now - 30 * DAY, until=now + 60))
    finally:
        engine.close()


class _NoLedger:
    """What a provider without a ledger of its tokens has to ask."""

    def logs(self) -> list[Log]:
        """None."""
        return []

    def entries(self, _log_id: str, _start: int, _end: int) -> list[Entry]:
        """None."""
        return []


def _report(sandbox: Sandbox, kid: str, uses: Sequence[tuple[str, str, str]]) -> None:
    """Report uses as accepted, and wait until they are judged."""
    entries = [_entry(sandbox, kid, *use) for use in uses]
    body = {"validator": {"name": "mail", "instance": "drill"}, "observations": entries}
    answer = sandbox.call("/observations", msgspec.json.encode(body), sandbox.basic(REPORTER))
    if answer.status != 202:  # noqa: PLR2004 - Accepted
        raise Unavailable("drill_stuck", f"the report was answered with {answer.status}")
    last = entries[-1]["digest"]
    wait_for(lambda: _is_judged(sandbox, last), "a judged report")


def _entry(sandbox: Sandbox, kid: str, token: str, tenant: str, resource: str) -> dict[str, Any]:
    claims = claims_of(token)
    return {
        "id": secrets.token_hex(16),
        "at": sandbox.clock.now(),
        "verdict": "accepted",
        "signature": "valid",
        "digest": _digest(token.rpartition(".")[0]),
        "kid": kid,
        "aud": [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"],
        **{name: claims[name] for name in ("jti", "iss", "iat", "exp", "client_id")},
        "sub_digest": _digest(claims["sub"]),
        "tenant": tenant,
        "resource": resource,
    }


def _is_judged(sandbox: Sandbox, digest: str) -> bool | None:
    batches = sandbox.stores.observations.after(0, 1_000)
    return any(seen.observation.digest == digest for _, batch in batches for seen in batch) or None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
