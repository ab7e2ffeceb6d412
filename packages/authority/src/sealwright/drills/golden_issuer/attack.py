"""The attacker takes the authority's place at the signer, and keeps the ledger in order.

It holds every right that the authority has: the signer's socket, the database, the ledger's files. It has no
key, and what it issues is signed into a tree that it cannot rewrite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from sealwright.drills import model
from sealwright.drills.insider import Wanted, digest_of, issue
from sealwright.drills.model import Finding
from sealwright.drills.sandbox import Sandbox
from sealwright.drills.steps import ACCEPTED, active_key, validator, verdict
from sealwright.drills.storm_0558 import compromised_front_end
from sealwright.ledger.model import TokenLeaf, parse_leaf

SALT_BYTES = 16
NOT_CAUGHT = "accepted, and no alarm"
INSTALL = "not shown: install sealwright[detect]"


class Control(StrEnum):
    """What stands in the way of an attacker inside the front end."""

    SIGNER_POLICY = "signer-policy"
    SIGNED_TREE_HEAD = "signed-tree-head"
    HISTORY_SEARCH = "history-search"


@dataclass(frozen=True, slots=True)
class Golden:
    """A token that the attacker had issued."""

    token: str
    digest: str


MARKED = "ordinary"
WANTED: Mapping[str, dict[str, str]] = {
    "invented-client": {"client_id": "helpdesk-sync", "scope": "mail.read"},
    "wider-scope": {"client_id": "enterprise-app", "scope": "mail.read mail.send"},
    "past-the-endpoint": {"client_id": "enterprise-app", "scope": "mail.read"},
    MARKED: {"client_id": "enterprise-app", "scope": "mail.read"},
}
ATTACKS = {
    "invented-client": (
        "3-invented-client",
        "issue a token to a client that does not exist",
        "client_disabled",
    ),
    "wider-scope": (
        "3-wider-scope",
        "issue a token with a scope that its client does not have",
        "scope_beyond_policy",
    ),
    "past-the-endpoint": (
        "4-past-the-endpoint",
        "issue an ordinary token to an ordinary client, which never asked the token endpoint",
        "issued_without_grant",
    ),
}


def run(sandbox: Sandbox) -> Iterator[Finding]:
    """Attack, give the place back, and look with everything there is."""
    for finding in compromised_front_end.run(sandbox):
        yield _renamed(finding)
    kid = active_key(sandbox, "enterprise").kid
    sandbox.stop_authority()
    golden = asyncio.run(_issue(sandbox, kid))
    sandbox.start_authority()
    sandbox.wait_ready()
    accepted = _presented(sandbox, golden)
    found = _searched(sandbox)
    for name, (step, attack, expected) in ATTACKS.items():
        if found is None:
            yield Finding(step, attack, None, INSTALL, INSTALL, held=True)
            continue
        observed = ", ".join(sorted(found.get(golden[name].digest, ()))) or NOT_CAUGHT
        held = expected in found.get(golden[name].digest, ())
        wanted = f"{expected} alarm"
        yield Finding(step, attack, Control.HISTORY_SEARCH, wanted, observed, held=held)
    yield from _ordinary(sandbox, golden[MARKED], accepted[MARKED], found or {})


def _ordinary(
    sandbox: Sandbox, golden: Golden, observed: str, found: Mapping[str, set[str]]
) -> Iterator[Finding]:
    """The part that is not caught. It is asserted too: a drill that hid it would not hold."""
    alarms = found.get(golden.digest, set())
    told = NOT_CAUGHT if observed == ACCEPTED and not alarms else f"{observed}, {sorted(alarms)}"
    attack = "the same with the endpoint's own grant event, for nobody who asked: NOT CAUGHT by itself"
    yield Finding("5-ordinary", attack, None, NOT_CAUGHT, told, held=told == NOT_CAUGHT)
    held = golden.digest in _leaves(sandbox)
    told = "its leaf is in the signed log" if held else "no trace"
    attack = "and what is left of it: whoever knows what was asked for can count it against the log"
    yield Finding("5-ordinary-trace", attack, None, "its leaf is in the signed log", told, held=held)


def _renamed(finding: Finding) -> Finding:
    """The findings of the other drill's front end under this drill's names and controls."""
    chapter = "2" if finding.control is model.Control.SIGNED_TREE_HEAD else "1"
    name = finding.step.removeprefix(compromised_front_end.STEP)
    control = Control(str(finding.control)) if finding.control is not None else None
    return Finding(
        f"{chapter}{name}", finding.attack, control, finding.expected, finding.observed, held=finding.held
    )


async def _issue(sandbox: Sandbox, kid: str) -> dict[str, Golden]:
    """Have tokens signed, and store their leaves as the authority would: nothing is missing afterwards."""
    audience = sandbox.audience("enterprise")
    wanted = [
        Wanted(one["client_id"], "minister", audience, one["scope"], marked=name == MARKED)
        for name, one in WANTED.items()
    ]
    tokens = await issue(sandbox, kid, wanted)
    return {name: Golden(token, digest_of(token)) for name, token in zip(WANTED, tokens, strict=True)}


def _presented(sandbox: Sandbox, golden: Mapping[str, Golden]) -> dict[str, str]:
    """A strict relying party sees each: the ledger has it, so it is accepted, and reported."""
    with validator(sandbox, mode="strict", report=True) as checker:
        audience = sandbox.audience("enterprise")
        return {name: verdict(checker, one.token, "enterprise", audience) for name, one in golden.items()}


def _searched(sandbox: Sandbox) -> dict[str, set[str]] | None:
    """Codes of alarms by the digest of the token, after a search over history; None without the extra."""
    if find_spec("duckdb") is None:
        return None
    from sealwright.wiring.search import search

    if Control.HISTORY_SEARCH not in sandbox.flaws:
        search(sandbox.config, sandbox.clock)
    found: dict[str, set[str]] = {}
    for stored in sandbox.stores.alarms.page(0, 1_000):
        found.setdefault(stored.alarm.digest, set()).add(stored.alarm.code)
    return found


def _leaves(sandbox: Sandbox) -> set[str]:
    stores = sandbox.stores.ledger
    entries = (entry for log in stores.logs() for entry in stores.entries(log.log_id, 0, log.size))
    leaves = (parse_leaf(entry.leaf) for entry in entries)
    return {leaf.digest.hex() for leaf in leaves if isinstance(leaf, TokenLeaf)}
